"""Are the copied units of a weight whole attention heads?"""

from collections.abc import Iterator

from stepzero.core.graph import Graph
from stepzero.core.symmetry import UnitBlock
from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import readings

_ENDS = frozenset(["weighted", "join", "pool"])
_CARRIES = frozenset(["view", "multiply", "add", "norm", "dropout", "join"])


def head_groups(trace: Trace, parameter: str, found: list[UnitBlock]) -> list[tuple[int, ...]]:
    """Heads of a weight that are one: every unit equals the unit at the same place of the other; counted along it.

    Empty when nothing downstream splits the units into heads, or when the blocks do not pair whole heads.
    """
    block_of = {unit: index for index, block in enumerate(found) for unit in block.members[0].units}
    for width in head_widths(trace, parameter):
        groups: dict[tuple[int, ...], list[int]] = {}
        for head in sorted({unit // width for unit in block_of}):
            units = range(head * width, (head + 1) * width)
            if all(unit in block_of for unit in units):
                groups.setdefault(tuple(block_of[unit] for unit in units), []).append(head)
        equal = [tuple(heads) for heads in groups.values() if len(heads) > 1]
        covered = {unit // width for unit in block_of} <= {head for heads in equal for head in heads}
        if equal and covered:
            return equal
    return []


def head_count(trace: Trace, parameter: str, found: list[UnitBlock]) -> int:
    """Heads that the weight's units make up, at the width of `head_groups`."""
    units = next((width.units for width in trace.symmetry.widths if width.parameter == parameter), 0)
    groups = head_groups(trace, parameter, found)
    for width in head_widths(trace, parameter):
        if groups and units % width == 0 and max(head for heads in groups for head in heads) < units // width:
            return units // width
    return 0


def head_widths(trace: Trace, parameter: str) -> list[int]:
    """Units a head in the ways in which the weight's units are split into heads, the widest first."""
    return sorted(set(_widths(trace, parameter)), reverse=True)


def breaker(trace: Trace, parameter: str) -> str:
    """Words for dropout on the attention weights, which falls on each head by itself; empty when there is none.

    It tells heads apart, not the units of one head: these are all weighed alike.
    """
    graph = Graph(trace)
    for operation, _ in readings(trace).get(parameter, []):
        for reader in _in_attention(graph, operation):
            inside = [reader] if reader.kind == "attention" else []
            inside += [each for each in _sources(trace, reader) if each.kind == "dropout"]
            for each in inside:
                share = each.attributes.get("p")
                if isinstance(share, int | float) and share > 0:
                    return f"dropout {share:g} on the attention weights in {each.module or 'the model itself'}"
    return ""


def _in_attention(graph: Graph, operation: Operation) -> Iterator[Operation]:
    """Products and attentions that the units reach before the next weight."""
    stack, seen = [operation.index], {operation.index}
    while stack:
        for index in graph.readers[stack.pop()]:
            reader = graph.trace.operations[index]
            if index not in seen and reader.kind not in _ENDS and not reader.in_loss and reader.role != "residual":
                seen.add(index)
                stack.append(index)
                if reader.kind in ("product", "attention"):
                    yield reader


def _sources(trace: Trace, product: Operation) -> Iterator[Operation]:
    """What stands between a softmax and a product, from the product upwards; nothing where no softmax does."""
    for start in product.inputs:
        path, each = [], trace.operations[start]
        while each.kind in _CARRIES and each.inputs:
            path.append(each)
            each = trace.operations[each.inputs[0]]
        if each.kind == "softmax":
            yield from path


def _widths(trace: Trace, parameter: str) -> Iterator[int]:
    """Wherever a view splits the units of the weight: a last axis that with another makes them up."""
    graph = Graph(trace)
    for operation, _ in readings(trace).get(parameter, []):
        if operation.unit_axis is None:
            continue
        units = operation.shape[operation.unit_axis]
        stack, seen = [operation.index], {operation.index}
        while stack:
            for index in graph.readers[stack.pop()]:
                reader = trace.operations[index]
                if index not in seen and reader.kind in _CARRIES:
                    seen.add(index)
                    stack.append(index)
                    if width := _split(reader, units):
                        yield width


def _split(reader: Operation, units: int) -> int:
    width = reader.shape[-1] if reader.shape else 0
    is_split = reader.kind == "view" and 1 < width < units and units % width == 0
    return width if is_split and any(units % (size * width) == 0 for size in reader.shape[:-1] if size > 1) else 0
