"""Does a relation between units still hold some virtual steps later, and if not, is rounding all that parts them?"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from stepzero.probe.prints import Prints

Place: TypeAlias = tuple[str, int]
"""Weight and unit."""
Factor: TypeAlias = Callable[[Place, Place], float]
"""How many times the first unit's response the other's was at the start."""
Side: TypeAlias = Literal["forward", "backward"]
_BEYOND = 1e3
"""Times what rounding has become from which a gap is none of its doing."""


def gap(later: dict[str, Prints], places: Sequence[Place], was: Factor, side: Side = "forward") -> float:
    """Largest relative distance of a unit's print from what the relation says; infinite where its sign has changed."""
    (name, first), *others = places
    if any(each not in later for each, _ in places):
        return math.inf
    reference = getattr(later[name], side)[first]
    size, widest = float(reference.norm()), 0.0
    for other, unit in others:
        found = getattr(later[other], side)[unit]
        if found.shape != reference.shape:
            return math.inf
        factor, before = float(found @ reference) / size**2 if size else 1.0, was(places[0], (other, unit))
        if size and factor * before < 0:
            return math.inf
        widest = max(widest, float((found - before * reference).norm()) / max(size * abs(before), 1e-300))
    return widest


def is_rounding(
    places: Sequence[Place],
    path: Sequence[dict[str, Prints]],
    shadow: Sequence[dict[str, Prints]],
    was: Factor,
    tolerance: float,
) -> bool:
    """Whether all that parts the units, responses and gradients, is what rounding has become by then.

    ``path`` and ``shadow`` hold the prints after each step, from weights that are one rounding apart.
    """
    looks: tuple[tuple[int, Side], ...] = ((-1, "forward"), (-2, "forward"), (-2, "backward"))
    for index, side in looks:
        noise = max(_moved(path[index], shadow[index], place, side) for place in places)
        if not gap(path[index], places, was, side) <= max(tolerance, _BEYOND * noise):
            return False
    return True


def _moved(path: dict[str, Prints], shadow: dict[str, Prints], place: Place, side: Side) -> float:
    """Relative distance of one unit's print from its shadow's."""
    name, unit = place
    if name not in path or name not in shadow:
        return math.inf
    one, other = (getattr(each[name], side)[unit] for each in (path, shadow))
    size = float(one.norm())
    return float((one - other).norm()) / size if size and one.shape == other.shape else 0.0
