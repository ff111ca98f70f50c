"""Colour, wrapping and cleaning of text that a stranger may have named.

No text is ever parsed as markup: colour is added by code around strings, so ``blocks[0]`` and ``[attn]`` survive, and
control characters in a name are shown as escapes instead of reaching the terminal.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

SGR = {
    "error": "1;31",
    "warning": "1;33",
    "info": "1;36",
    "good": "1;32",
    "bold": "1",
    "dim": "2",
    "code": "1;35",
    "place": "36",
}
"""Select-graphic-rendition parameters by role (ECMA-48)."""

Piece: TypeAlias = tuple[str, str, str]
"""What stands before it on a line, the text, and its role in SGR ('' for none)."""


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours strings by role when ``color`` is on, else returns them as they are."""

    color: bool

    def __call__(self, text: str, role: str) -> str:
        """Return ``text`` in the colour of ``role`` (a key of SGR)."""
        return f"\x1b[{SGR[role]}m{text}\x1b[0m" if self.color and text else text


def clean(text: str) -> str:
    """Put ``text`` on one line, with unprintable characters (escape sequences, direction marks) as escapes."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(_visible(character) for character in line)


def wrap(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    """Wrap at spaces to ``width`` columns, never inside a path or a long word; ``first`` indents line one."""
    lead = indent if first is None else first
    lines = textwrap.wrap(
        text,
        max(width, 20),
        initial_indent=lead,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [lead.rstrip()]


def flow(pieces: Sequence[Piece], width: int, paint: Paint) -> list[str]:
    """Put pieces on lines of ``width`` columns, each in its colour, breaking between pieces only."""
    lines, used = [""], 0
    for gap, text, role in pieces:
        if used and used + len(gap) + cells(text) > width:
            lines, used = [*lines, ""], 0
        lead = gap if used else ""
        lines[-1] += lead + (paint(text, role) if role else text)
        used += len(lead) + cells(text)
    return lines


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Fill ``text`` with spaces to ``columns`` terminal cells; ``right`` aligns to the right."""
    space = " " * max(0, columns - cells(text))
    return space + text if right else text + space


def shorten(path: str, columns: int) -> str:
    """Fit a dotted path into ``columns`` cells: leading names to their first letter, then a cut in the middle.

    Numbers stay: ``transformer.h.11.attn.c_proj`` becomes ``t.h.11.attn.c_proj``.
    """
    parts = path.split(".")
    for index, part in enumerate(parts[:-1]):
        if cells(".".join(parts)) <= columns:
            break
        parts[index] = part if part.isdigit() else part[:1]
    text = ".".join(parts)
    if cells(text) <= columns:
        return text
    tail = (columns - 1) * 2 // 3
    return text[: columns - 1 - tail] + "…" + text[len(text) - tail :]


def cells(text: str) -> int:
    """Terminal cells that ``text`` takes (a wide character takes two)."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - only for names beyond ASCII

    return cell_len(text)


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
