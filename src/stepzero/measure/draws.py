"""A draw is known by how it begins: the same generator state gives the same numbers, whatever the shape and scale."""

import itertools
import math
from collections.abc import Iterator, Sequence

from stepzero.core.trace import TensorFact

_SAME = 1e-5
"""One less the cosine of two beginnings: float32 rounds a thousand times finer, 32 random numbers agree never."""
_TURNS = 8
"""Local extremes among 30 inner elements: 20 of random numbers, none of a ramp, few of a slow wave."""


def looks_drawn(fact: TensorFact) -> bool:
    """Whether the beginning is irregular and of many values: no fill, no ramp, no kernel of few numbers."""
    lead = fact.lead.unpack()
    if not lead or not all(map(math.isfinite, lead)) or len({abs(value) for value in lead}) < len(lead) * 3 // 4:
        return False
    steps = [after - before for before, after in itertools.pairwise(lead)]
    return sum(one * other < 0 for one, other in itertools.pairwise(steps)) >= _TURNS


def same_beginning(facts: Sequence[TensorFact]) -> Iterator[tuple[TensorFact, ...]]:
    """Groups of tensors whose first elements are the same numbers up to a positive factor."""
    groups: list[tuple[list[float], list[TensorFact]]] = []
    places: dict[int, list[int]] = {}
    for fact in facts:
        if not looks_drawn(fact):
            continue
        direction = _direction(fact)
        near = round(direction[0] * 1e4)  # a bucket; neighbours are asked as well
        close = (place for key in (near - 1, near, near + 1) for place in places.get(key, []))
        found = next((place for place in close if _agree(groups[place][0], direction)), None)
        if found is None:
            places.setdefault(near, []).append(len(groups))
            groups.append((direction, [fact]))
        else:
            groups[found][1].append(fact)
    return (tuple(members) for _, members in groups if len(members) > 1)


def _direction(fact: TensorFact) -> list[float]:
    lead = fact.lead.unpack()
    norm = math.sqrt(sum(value * value for value in lead))
    return [value / norm for value in lead] if norm else list(lead)


def _agree(one: Sequence[float], other: Sequence[float]) -> bool:
    return sum(a * b for a, b in zip(one, other, strict=True)) > 1 - _SAME
