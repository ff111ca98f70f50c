"""Which rows of a long table to show: the first and last of repeated blocks that are alike and marked alike."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stepzero.core.outcome import LayerRow

LONGEST_BLOCK = 64
"""Rows of the longest repeated block looked for."""
FEWEST_REPEATS = 4
"""Repeats from which a block is hidden; with three, the hidden one would save nothing."""
MOST_MARKED = 8
"""Marked rows kept when the middle of a table is cut; the rest are counted."""

Key: TypeAlias = tuple[str, str, tuple[int, ...], str]


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows that are not shown, and whether they repeat the ones around them."""

    rows: tuple[LayerRow, ...]
    is_repetition: bool


Shown: TypeAlias = LayerRow | Gap


def collapse(rows: Sequence[LayerRow], marks: Mapping[int, str], *, short: int) -> list[Shown]:
    """Return the rows to show in order, with a Gap where some are hidden.

    ``marks`` maps an operation index to the severity a finding gave it. Nothing is hidden up to ``short`` rows;
    a table without repetition is cut in the middle beyond twice as many.
    """
    if len(rows) <= short:
        return list(rows)
    hidden, is_repetition = _repeats([_key(row, marks) for row in rows]), True
    if len(rows) - sum(hidden) > 2 * short:
        hidden, is_repetition = [short <= position < len(rows) - short // 2 for position in range(len(rows))], False
        _keep_marked(rows, hidden, marks)
    return _gaps(rows, hidden, is_repetition=is_repetition)


def _key(row: LayerRow, marks: Mapping[int, str]) -> Key:
    """What two rows share when they are called alike: the path but for its numbers, operation, shape and mark."""
    return re.sub(r"\d+", "*", row.path), row.name, row.shape, marks.get(row.operation, "")


def _repeats(keys: list[Key]) -> list[bool]:
    """True for each row inside the second to last but one repeat of a block."""
    hidden = [False] * len(keys)
    start = 0
    while start < len(keys):
        length, repeats = _longest_run(keys, start)
        for position in range(start + length, start + length * (repeats - 1)):
            hidden[position] = True
        start += max(1, length * repeats)
    return hidden


def _longest_run(keys: list[Key], start: int) -> tuple[int, int]:
    """Block length and number of repeats of the run from ``start`` that covers most rows; (0, 0) for none."""
    best = (0, 0)
    for length in range(1, min(LONGEST_BLOCK, (len(keys) - start) // FEWEST_REPEATS) + 1):
        block = keys[start : start + length]
        repeats = 1
        while keys[start + length * repeats : start + length * (repeats + 1)] == block:
            repeats += 1
        if repeats >= FEWEST_REPEATS and repeats * length > best[0] * best[1]:
            best = (length, repeats)
    return best


def _keep_marked(rows: Sequence[LayerRow], hidden: list[bool], marks: Mapping[int, str]) -> None:
    """Unhide the first MOST_MARKED marked rows."""
    kept = 0
    for position, row in enumerate(rows):
        if hidden[position] and row.operation in marks and kept < MOST_MARKED:
            hidden[position] = False
            kept += 1


def _gaps(rows: Sequence[LayerRow], hidden: list[bool], *, is_repetition: bool) -> list[Shown]:
    shown: list[Shown] = []
    pending: list[LayerRow] = []
    for row, is_hidden in zip(rows, hidden, strict=True):
        if is_hidden:
            pending.append(row)
            continue
        if pending:
            shown.append(Gap(tuple(pending), is_repetition))
            pending = []
        shown.append(row)
    return [*shown, Gap(tuple(pending), is_repetition)] if pending else shown
