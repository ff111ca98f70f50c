"""Weights with equal content in different storage: side by side, or one behind another?"""

from collections.abc import Iterable, Iterator

from stepzero.core.graph import Graph
from stepzero.core.symmetry import UnitBlock
from stepzero.core.trace import Trace
from stepzero.measure.uses import readings


def side_by_side(trace: Trace) -> Iterator[tuple[str, ...]]:
    """Groups of trainable weights with equal content, each less those that stand before or behind all the others."""
    for names, beside in _groups(trace):
        if len(beside) > 1:
            yield tuple(name for name in names if name in beside)


def in_series(trace: Trace) -> Iterator[tuple[str, ...]]:
    """Groups of trainable weights with equal content, each of which reads what another has computed."""
    known = {name for block in trace.symmetry.blocks if len(block.members) > 1 for name in _names(block)}
    for names, beside in _groups(trace):
        if not beside and not known.intersection(names):
            yield names


def _groups(trace: Trace) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Weights of equal content, and those of them with a sibling to which no dataflow leads either way."""
    graph, read = Graph(trace), readings(trace)
    for names in _trainable(trace):
        places = {name: {operation.index for operation, _ in read.get(name, [])} for name in names}
        reached = {name: graph.downstream(places[name]) for name in names}
        behind = {(one, other) for one in names for other in names if reached[one] & places[other]}
        yield (
            names,
            {
                one
                for one in names
                if any(one != other and behind.isdisjoint([(one, other), (other, one)]) for other in names)
            },
        )


def modules(groups: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Collect groups of weights by the modules they tell apart: ``shards.0`` and ``shards.1`` -> all their weights.

    The path of a module ends with the first part in which the weights' names differ.
    """
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for names in groups:
        parts = [name.split(".") for name in names]
        depth = next((place for place, same in enumerate(zip(*parts, strict=False)) if len(set(same)) > 1), 0)
        paths = tuple(".".join(each[: depth + 1]) for each in parts)
        found[paths] = tuple(dict.fromkeys((*found.get(paths, ()), *names)))
    return found


def _names(block: UnitBlock) -> tuple[str, ...]:
    return tuple(member.parameter for member in block.members)


def _trainable(trace: Trace) -> Iterator[tuple[str, ...]]:
    trainable = {fact.name for fact in trace.parameters if fact.requires_grad}
    weights = {use.parameter for operation in trace.weighted() for use in operation.uses if use.slot == "weight"}
    for group in trace.symmetry.siblings:
        names = tuple(name for name in group.parameters if name in trainable and name in weights)
        if len(names) > 1:
            yield names
