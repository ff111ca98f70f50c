"""Zero factors of one product that are packed into one parameter: query and key rows, gate and value rows.

A slice of such a parameter is woken by drawing its partner and not by drawing itself. A unit behind a kink at zero is
woken by drawing itself, and one that only waits for another layer, or that its bias keeps off, by none of them: what
wakes when no slice is drawn has no partner here.
"""

from collections.abc import Callable

Slices = tuple[int, ...]
Woken = Callable[[list[int]], set[int]]
"""Which of the zero slices get a gradient when these ones are drawn."""


def factors_of(zero: list[int], woken: Woken) -> tuple[Slices, Slices] | None:
    """Two sets of slices that wake each other and none of its own; None when no slice has such a partner."""
    waiting = woken([]) if len(zero) > 1 else set()
    held = [each for each in zero if each not in waiting]
    for one in dict.fromkeys((held[0], held[len(held) // 2], held[-1])) if len(held) > 1 else ():
        partners = woken([one]) - waiting
        if partners and one not in partners:
            first, other = _widest(held, one, partners, lambda drawn: woken(drawn) - waiting)
            return (first, other) if first < other else (other, first)
    return None


def _widest(zero: list[int], one: int, partners: set[int], woken: Woken) -> tuple[Slices, Slices]:
    """All slices on the same side of a partner as ``one``, where factors stand one after the other; else the pair."""
    edge = min(partners) if one < min(partners) else max(partners)
    side = [each for each in zero if (each < edge if one < edge else each > edge)]
    others = woken(side)
    if others.isdisjoint(side) and others >= partners:
        return tuple(side), tuple(sorted(others))
    return (one,), tuple(sorted(partners))
