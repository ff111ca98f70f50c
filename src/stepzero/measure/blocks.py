"""Reading the blocks that the symmetry probe found: by weight, by kind, in words."""

from collections.abc import Iterable, Iterator

from stepzero.core.graph import Graph
from stepzero.core.symmetry import Level, UnitBlock
from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import readings

_NAMED = 3
"""Blocks spelled out in a message."""
_MIXES = frozenset(["weighted", "product", "attention", "softmax", "join", "pool"])


def of_level(trace: Trace, *levels: Level) -> Iterator[UnitBlock]:
    """Blocks of the given levels whose weights are trainable."""
    trainable = {fact.name for fact in trace.parameters if fact.requires_grad}
    return (
        block
        for block in trace.symmetry.blocks
        if block.level in levels and trainable.issuperset(member.parameter for member in block.members)
    )


def by_weight(blocks: Iterable[UnitBlock]) -> dict[str, list[UnitBlock]]:
    """Blocks that lie inside one weight, by its name."""
    found: dict[str, list[UnitBlock]] = {}
    for block in blocks:
        if len(block.members) == 1:
            found.setdefault(block.members[0].parameter, []).append(block)
    return found


def across(blocks: Iterable[UnitBlock]) -> dict[tuple[str, ...], list[UnitBlock]]:
    """Blocks that hold units of several weights together, by the names of these."""
    found: dict[tuple[str, ...], list[UnitBlock]] = {}
    for block in blocks:
        if len(block.members) > 1:
            found.setdefault(tuple(member.parameter for member in block.members), []).append(block)
    return found


def num_units(trace: Trace, parameter: str) -> int:
    """Units of one weight as the probe counted them."""
    return next((width.units for width in trace.symmetry.widths if width.parameter == parameter), 0)


def num_extra(blocks: Iterable[UnitBlock]) -> int:
    """Units that add nothing: all of each block but one."""
    return sum(block.size - 1 for block in blocks)


def words(blocks: list[UnitBlock]) -> str:
    """'units 0 and 8, 1 and 9, 2 and 10 and 5 more groups'."""
    spelled = [_spelled(block.members[0].units) for block in blocks[:_NAMED]]
    more = f" and {len(blocks) - _NAMED} more groups" if len(blocks) > _NAMED else ""
    return f"units {', '.join(spelled)}{more}"


def _spelled(units: tuple[int, ...]) -> str:
    if len(units) == 2:
        return f"{units[0]} and {units[1]}"
    if units == tuple(range(units[0], units[-1] + 1)):
        return f"{units[0]} to {units[-1]}"
    return f"{units[0]}, {units[1]} ... {units[-1]}"


def breaker(trace: Trace, parameter: str) -> str:
    """Words for the noise that tells this weight's units apart in training; empty when there is none.

    Dropout breaks copies only where it falls on the units themselves, before anything mixes them: noise on the input
    of a layer, or behind the next one, meets all copies alike.
    """
    graph = Graph(trace)
    for operation, _ in readings(trace).get(parameter, []):
        for reader in _before_mixing(graph, operation):
            share = reader.attributes.get("p")
            if reader.kind == "dropout" and isinstance(share, int | float) and share > 0:
                return f"dropout {share:g} in {reader.module or 'the model itself'}"
    return ""


def _before_mixing(graph: Graph, operation: Operation) -> Iterator[Operation]:
    stack, seen = [operation.index], {operation.index}
    while stack:
        for index in graph.readers[stack.pop()]:
            reader = graph.trace.operations[index]
            if index not in seen and reader.kind not in _MIXES and not reader.in_loss and reader.role != "residual":
                seen.add(index)
                stack.append(index)
                yield reader
