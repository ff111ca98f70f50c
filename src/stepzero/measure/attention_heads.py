"""Are the copied units of a weight whole attention heads?"""

from stepzero.core.symmetry import UnitBlock
from stepzero.core.trace import Graph, Operation, Trace
from stepzero.measure.uses import readings

_ATTENDS = frozenset(["attention", "product"])
_CARRIES = frozenset(["view", "multiply", "add", "norm", "dropout", "join"])


def head_width(trace: Trace, parameter: str) -> int:
    """Units a head in the attention that reads this weight; 0 when nothing of four axes attends to them.

    Told by shape: attention and its written-out products run over (batch, heads, positions, width).
    """
    graph = Graph(trace)
    for operation, _ in readings(trace).get(parameter, []):
        stack, seen = [operation.index], {operation.index}
        while stack:
            for index in graph.readers[stack.pop()]:
                reader = trace.operations[index]
                if reader.kind in _ATTENDS and (width := _width(trace, reader)):
                    return width
                if index not in seen and reader.kind in _CARRIES:
                    seen.add(index)
                    stack.append(index)
    return 0


def _width(trace: Trace, reader: Operation) -> int:
    """Last axis of the first operand, or of the result where that operand is attention weights; heads on axis 1."""
    first = trace.operations[reader.inputs[0]] if reader.inputs else None
    if first is None or not (len(first.shape) == len(reader.shape) == 4 and first.shape[1] == reader.shape[1] > 1):
        return 0
    return reader.shape[-1] if _are_weights(trace, first) else first.shape[-1]


def _are_weights(trace: Trace, operation: Operation) -> bool:
    """Whether a softmax made it, through views and dropout."""
    while operation.kind in ("view", "dropout") and len(operation.inputs) == 1:
        operation = trace.operations[operation.inputs[0]]
    return operation.kind == "softmax"


def are_heads(trace: Trace, parameter: str, found: list[UnitBlock]) -> bool:
    """Whether the blocks pair whole heads: every unit of one head with the unit at the same place of another."""
    width = head_width(trace, parameter)
    places = {unit for block in found for unit in block.members[0].units}
    whole = {head for head in {unit // width for unit in places} if _is_whole(head, width, places)} if width else set()
    is_aligned = width > 1 and all(len({unit % width for unit in block.members[0].units}) == 1 for block in found)
    return len(whole) > 1 and is_aligned


def _is_whole(head: int, width: int, places: set[int]) -> bool:
    return all(head * width + place in places for place in range(width))


def head_groups(trace: Trace, parameter: str, found: list[UnitBlock]) -> list[tuple[int, ...]]:
    """Heads that are one, group by group; heads are counted along the whole weight."""
    width = head_width(trace, parameter)
    return sorted({tuple(sorted({unit // width for unit in block.members[0].units})) for block in found})
