"""Zero factors of one product that are packed into one parameter: query and key rows, gate and value rows.

A slice of such a parameter is woken by drawing its partner and not by drawing itself. A unit behind a kink at zero is
woken by drawing itself, and a unit that only waits for another layer by nothing here.
"""

from collections.abc import Callable

Slices = tuple[int, ...]
Woken = Callable[[list[int]], set[int]]
"""Which of the zero slices get a gradient when these ones are drawn."""


def factors_of(zero: list[int], woken: Woken) -> tuple[Slices, Slices] | None:
    """Two sets of slices that wake each other and none of its own; None when no slice has such a partner."""
    for one in dict.fromkeys((zero[0], zero[len(zero) // 2], zero[-1])) if len(zero) > 1 else ():
        partners = woken([one])
        if partners and one not in partners:
            first, other = _widest(zero, one, partners, woken)
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
