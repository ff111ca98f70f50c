"""Networks that are homogeneous from the input on: f(2x) = 2 f(x), because every kink passes through the origin."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.uses import live_inputs, weight_use

KINKED = frozenset(["relu", "leaky_relu", "prelu", "rrelu", "abs"])
"""Activations with phi(c z) = c phi(z) for c > 0 and a kink at 0."""
_POINTWISE = frozenset("linear matmul mm addmm bmm baddbmm einsum inner tensordot".split())
_PLAIN = frozenset(["view", "dropout", "pool", "join", "add", "weighted", "multiply"])
_LOSES_SCALE = frozenset(["gate", "self-gate", "arithmetic", "norm"])


@dataclass(frozen=True, slots=True)
class Cone:
    """A first layer on a few numbers, and the layers whose kinks all pass through the origin of them."""

    layer: Operation
    source: Operation
    dimensions: int
    layers: tuple[Operation, ...]
    """Weighted operations in front of a kink."""
    kinks: tuple[Operation, ...]
    is_whole: bool
    """Whether nothing but a last elementwise map lies between the layers and the loss."""


def cones(trace: Trace, most: float) -> Iterator[Cone]:
    """First layers that read at most ``most`` numbers of the batch as they are, with nothing that moves a kink."""
    graph, facts = Graph(trace), {fact.name: fact for fact in trace.parameters}
    for layer in trace.weighted():
        use, source = weight_use(layer), input_of(trace, layer)
        if source is None or use is None or layer.name not in _POINTWISE or use.fan_in is None or use.fan_in > most:
            continue
        walk = _walk(graph, layer, facts)
        if walk is None or not walk.kinks or graph.downstream(set(walk.moved)) & walk.kinks:
            continue
        above = [trace.operations[index] for index in sorted(graph.upstream(set(walk.kinks)) & walk.seen)]
        layers = tuple(found for found in above if found.kind == "weighted")
        kinks = tuple(trace.operations[index] for index in sorted(walk.kinks))
        yield Cone(layer, source, int(use.fan_in), layers, kinks, not walk.is_cut)


def input_of(trace: Trace, layer: Operation) -> Operation | None:
    """The batch tensor that the layer reads unchanged; None when something stands between."""
    operation = layer
    while len(sources := live_inputs(trace, operation)) == 1:
        operation = sources[0]
        if operation.name == "input":
            return operation
        if operation.kind != "view":
            return None
    return None


@dataclass(slots=True)
class _Walk:
    """What a walk from a first layer met."""

    seen: set[int]
    kinks: set[int] = field(default_factory=set)
    moved: set[int] = field(default_factory=set)
    """Operations that move the kinks behind them."""
    is_cut: bool = False
    """Whether the walk ended at a norm, a softmax or a product, which lose scale anyway."""


def _walk(graph: Graph, layer: Operation, facts: dict[str, TensorFact]) -> _Walk | None:
    """Follow ``layer`` through everything homogeneous; None where a curved map stands before another weight."""
    walk, queue = _Walk({layer.index}), [layer.index]
    for index in queue:
        operation = graph.trace.operations[index]
        if _shifts(operation, facts):
            walk.moved.add(index)
        for reader in (graph.trace.operations[other] for other in graph.readers[index]):
            if reader.index in walk.seen or reader.in_loss:
                continue
            if reader.kind == "activation" and reader.name in KINKED:
                walk.kinks.add(reader.index)
            elif reader.kind in ("activation", "other"):
                if _is_inside(graph, reader):
                    return None
                continue
            elif reader.kind not in _PLAIN or reader.role in _LOSES_SCALE:
                walk.is_cut = True
                continue
            walk.seen.add(reader.index)
            queue.append(reader.index)
    walk.moved |= {index for index in walk.seen if _meets_another(graph.trace, index, walk.seen)}
    return walk


def _is_inside(graph: Graph, operation: Operation) -> bool:
    """Whether a weight comes after it."""
    return any(graph.trace.operations[after].kind == "weighted" for after in graph.downstream({operation.index}))


def _meets_another(trace: Trace, index: int, seen: set[int]) -> bool:
    """Whether it is a sum or a join with a signal from elsewhere."""
    operation = trace.operations[index]
    is_meeting = operation.kind in ("add", "join")
    return is_meeting and any(source.index not in seen for source in live_inputs(trace, operation))


def _shifts(operation: Operation, facts: dict[str, TensorFact]) -> bool:
    """Whether a parameter is added that is not zero."""
    shifts = (facts.get(use.parameter) for use in operation.uses if use.slot in ("bias", "shift", "table"))
    return any(fact is None or not fact.is_zero for fact in shifts)
