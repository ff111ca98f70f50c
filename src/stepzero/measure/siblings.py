"""Weights with equal content in different storage: side by side, or one behind another?"""

from collections.abc import Iterable, Iterator

from stepzero.core.symmetry import UnitBlock
from stepzero.core.trace import Trace
from stepzero.measure.uses import readings


def side_by_side(trace: Trace) -> Iterator[tuple[str, ...]]:
    """Groups of trainable weights with equal content of which at least two read one and the same input."""
    for names in _trainable(trace):
        sources = _sources(trace, names)
        together = tuple(
            name for name in names if any(sources[name] & sources[other] for other in names if other != name)
        )
        if len(together) > 1:
            yield together


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


def in_series(trace: Trace) -> Iterator[tuple[str, ...]]:
    """Groups of trainable weights with equal content, no two of which read one input."""
    beside = {name for group in side_by_side(trace) for name in group}
    behind = {name for block in trace.symmetry.blocks if len(block.members) > 1 for name in _names(block)}
    for names in _trainable(trace):
        if not beside.intersection(names) and not behind.intersection(names):
            yield names


def _names(block: UnitBlock) -> tuple[str, ...]:
    return tuple(member.parameter for member in block.members)


def _trainable(trace: Trace) -> Iterator[tuple[str, ...]]:
    trainable = {fact.name for fact in trace.parameters if fact.requires_grad}
    weights = {use.parameter for operation in trace.weighted() for use in operation.uses if use.slot == "weight"}
    for group in trace.symmetry.siblings:
        names = tuple(name for name in group.parameters if name in trainable and name in weights)
        if len(names) > 1:
            yield names


def _sources(trace: Trace, names: tuple[str, ...]) -> dict[str, set[int]]:
    """Operations whose results each weight is multiplied with."""
    read = readings(trace)
    return {name: {source for operation, _ in read.get(name, []) for source in operation.inputs} for name in names}
