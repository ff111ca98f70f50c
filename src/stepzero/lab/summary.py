"""From networks to rows of a table: one row a combination, its seeds taken together."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stepzero.lab.store import AXES

LEARNED = 0.9
"""Least final accuracy of a network that is said to have learned."""


@dataclass(frozen=True)
class Row:
    """One combination of axes; ``n`` counts different runs, so that a start without randomness has n = 1."""

    axes: dict[str, Any]
    n: int
    learned: int | None
    """Networks with an accuracy of at least `LEARNED`; None without classes."""
    stopped: int
    """Networks whose loss left the numbers."""
    loss: float | None
    """Median over the networks that did not stop."""
    accuracy: float | None


def rows(networks: Iterable[Mapping[str, Any]]) -> list[Row]:
    """One row a combination, in the order of their first networks."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for each in networks:
        groups.setdefault(tuple(each[name] for name in AXES if name != "seed"), []).append(each)
    return [_row(members) for members in groups.values()]


def varying(found: Iterable[Row]) -> list[str]:
    """Axes on which the rows differ."""
    listed = list(found)
    return [name for name in AXES if name != "seed" and len({row.axes[name] for row in listed}) > 1]


def _row(members: list[Mapping[str, Any]]) -> Row:
    running = [each for each in members if each["stopped"] is None]
    rights = [each["accuracy"] for each in running if each["accuracy"] is not None]
    has_classes = any(each["accuracy"] is not None for each in members)
    return Row(
        {name: members[0][name] for name in AXES if name != "seed"},
        len(members),
        sum(right >= LEARNED for right in rights) if has_classes else None,
        len(members) - len(running),
        statistics.median(each["loss"] for each in running) if running else None,
        statistics.median(rights) if rights else None,
    )
