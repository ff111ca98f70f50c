"""Weights against their law along a segment: s_l = std(W_l) / (gain_l / sqrt(fan in))."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, TensorFact
from stepzero.measure.layers import law_std
from stepzero.measure.segments import Segment
from stepzero.measure.uses import live_inputs, weight_use

_COUNTS = frozenset(["weighted", "loss", "output", "residual"])
"""Consumers, other than activations, for which the scale of the result is felt; a norm or a softmax takes it away."""
_PERIODIC = frozenset(["sin", "cos"])
_SPARSE = 0.5
"""Share of zeros above which a weight follows a law of its own: identity, Dirac, sparse."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One layer's standard deviation over that of its law."""

    operation: Operation
    fact: TensorFact
    std: float
    law: float

    @property
    def value(self) -> float:
        """s_l."""
        return self.std / self.law

    def is_beyond(self, factor: float) -> bool:
        """Whether s is outside 1/factor to factor by more than the estimate of std is uncertain (3 errors)."""
        margin = 3 / math.sqrt(2 * max(1, self.fact.sample))
        return self.value * (1 - margin) > factor or self.value * (1 + margin) < 1 / factor


def ratios(graph: Graph, segment: Segment, facts: dict[str, TensorFact]) -> tuple[Ratio, ...]:
    """Layers of the segment whose scale is felt, in order; empty when the segment follows a scheme of its own.

    A head that is too small is left out: nothing multiplies it up, and neutral predictions are a good start.

    That is so with periodic activations, and with constant factors around a layer (the NTK and muP
    parametrisations), which do in the forward pass what the law does in the draw.
    """
    operations = segment.operations
    if any(operation.consumer in _PERIODIC or has_factor(graph, operation) for operation in operations):
        return ()
    found = [ratio for operation in operations if (ratio := _ratio(graph, operation, facts)) is not None]
    return tuple(ratio for ratio in found if ratio.operation.role != "head" or ratio.value > 1.0)


def _ratio(graph: Graph, operation: Operation, facts: dict[str, TensorFact]) -> Ratio | None:
    use, index = weight_use(operation), operation.consumer_index
    fact = facts.get(use.parameter) if use is not None else None
    consumer = graph.trace.operations[index] if index is not None else None
    is_felt = operation.consumer in _COUNTS or (consumer is not None and consumer.kind == "activation")
    if use is None or fact is None or not is_felt or not fact.requires_grad:
        return None
    law = law_std(use, consumer)
    if not law or not fact.std or not math.isfinite(fact.std) or fact.zero_share > _SPARSE:
        return None
    return Ratio(operation, fact, fact.std, law)


def has_factor(graph: Graph, operation: Operation) -> bool:
    """Whether a constant multiplies what goes in or what comes out."""
    near: list[Operation] = list(_around(graph, operation))
    return any(other.role == "scale" for other in near)


def _around(graph: Graph, operation: Operation) -> Iterator[Operation]:
    """What the layer reads and what reads it, through views and biases."""
    source = operation
    while len(sources := live_inputs(graph.trace, source)) == 1:
        source = sources[0]
        yield source
        if source.kind not in ("view", "dropout"):
            break
    queue = [operation.index]
    for index in queue:
        for reader in (graph.trace.operations[other] for other in graph.readers[index]):
            if reader.in_loss:
                continue
            yield reader
            if reader.kind in ("view", "dropout") or reader.role == "bias":
                queue.append(reader.index)
