"""Segments: maximal runs of weighted operations with no norm, softmax, attention, skip or gate inside them.

Depth laws (signal and gradient grow or shrink by a factor a layer) hold inside one segment, not across a network.
Legend: L layers of a segment, n_l units of layer l, z_l its result, g_l = dloss/dz_l.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, Trace
from stepzero.measure.line import robust_slope
from stepzero.measure.uses import live_inputs, units, weight_use

_PASSES = frozenset(["activation", "view", "dropout", "pool"])
_PASSES_AS = frozenset(["bias", "scale"])
_WRITTEN_OUT = frozenset(["self-gate", "arithmetic"])
"""Activations in arithmetic, ``x * sigmoid(x)``: several inputs, one source."""
_SKIPS = frozenset(["residual", "projection-residual"])
_KURTOSIS = 5.0
"""Variance of ln norm(z_L)^2 over draws of a ReLU network is 5 sum 1/n_l (Hanin & Rolnick 2018), to leading order."""
_LOST, _KEPT = 3.8, 0.43
"""The exact variance of ln chi^2 with Binomial(n, 1/2) degrees of freedom is 5 / (n - 3.8) within 5 % from n = 8 up."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Weighted operations in the order in which the signal passes them."""

    operations: tuple[Operation, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Their weights."""
        uses = [weight_use(operation) for operation in self.operations]
        return tuple(dict.fromkeys(use.parameter for use in uses if use is not None))

    @property
    def beta(self) -> float:
        """5 sum 1/n_l over all layers but the last: how much ln norm^2 varies from one draw to the next.

        Corrected for small n_l, where the leading order is too small by a factor two.
        """
        widths = [units(operation) for operation in self.operations[:-1]]
        return _KURTOSIS * sum(1 / max(width - _LOST, _KEPT * width) for width in widths)

    @property
    def chance(self) -> float:
        """How far ln rms strays along the segment by finite width alone: three deviations and the mean shift."""
        return 3 * math.sqrt(self.beta) / 2 + self.beta / 4


@dataclass(frozen=True, slots=True)
class Drift:
    """A robust line through ln of a quantity over depth."""

    slope: float
    """Change of the logarithm a layer."""
    layers: int
    first: float
    last: float
    """The quantity at the two ends as measured."""
    chance: float
    """How far the logarithm strays along the segment by finite width alone."""

    @property
    def total(self) -> float:
        """Change of the logarithm along the whole segment, by the line; the sign says grows or shrinks."""
        return self.slope * (self.layers - 1)

    @property
    def factor(self) -> float:
        """Factor a layer."""
        return _exp(self.slope)

    @property
    def range(self) -> float:
        """Largest over smallest along the line."""
        return _exp(abs(self.total))

    @property
    def words(self) -> str:
        """What the quantity does, for a message."""
        return (
            f"changes by a factor {self.factor:.2g} a layer over {self.layers} layers, {self.range:.2g} in all "
            f"({self.first:.2g} to {self.last:.2g})"
        )

    def exceeds(self, factor: float, most: float) -> bool:
        """Whether it is more than ``factor`` a layer, more than ``most`` in all, and more than chance, up or down."""
        return abs(self.total) > self.chance and _exp(abs(self.slope)) > factor and self.range > most


def segments(trace: Trace) -> tuple[Segment, ...]:
    """Every layer belongs to exactly one segment; where paths part, the longest one carries on."""
    graph = Graph(trace)
    layers = [operation for operation in trace.operations if _is_layer(trace, operation)]
    parents = {layer.index: _layer_before(graph, layer) for layer in layers}
    length: dict[int, int] = {layer.index: 1 for layer in layers}
    heir: dict[int, int] = {}
    for layer in reversed(layers):
        parent = parents[layer.index]
        if parent is not None and length[layer.index] + 1 > length[parent]:
            length[parent], heir[parent] = length[layer.index] + 1, layer.index
    inherited = set(heir.values())
    return tuple(Segment(tuple(_run(trace, layer.index, heir))) for layer in layers if layer.index not in inherited)


def stream_path(trace: Trace) -> Segment | None:
    """Layers from the batch, or the last norm, to the head, at every residual addition along what is louder there.

    None where no addition lies on the way: then it is a segment, or the end of one.
    """
    head = next((each for each in reversed(trace.operations) if each.role == "head" and _is_layer(trace, each)), None)
    operation, found, is_stream = head, [head] if head else [], False
    while operation is not None and (sources := live_inputs(trace, operation)):
        if operation.role in _SKIPS:
            is_stream, operation = True, max(sources, key=_loudness)
        elif len(sources) == 1 or operation.role in _WRITTEN_OUT:
            operation = min(sources, key=lambda source: source.index)
        else:
            break
        if _is_layer(trace, operation):
            found.append(operation)
        elif operation.kind not in _PASSES and operation.role not in _PASSES_AS | _WRITTEN_OUT | _SKIPS:
            break
    return Segment(tuple(reversed(found))) if is_stream else None


def _loudness(operation: Operation) -> float:
    return operation.forward.rms if operation.forward else 0.0


def drift(segment: Segment, quantity: Callable[[Operation], float | None], *, least: float) -> Drift | None:
    """Line through ln ``quantity`` over depth; None with fewer than ``least`` layers or any that is zero or unknown."""
    read = [(depth, quantity(operation)) for depth, operation in enumerate(segment.operations)]
    points = [(float(depth), value) for depth, value in read if value is not None]
    if len(points) < max(least, 2) or any(not 0 < value < math.inf for _, value in points):
        return None
    slope = robust_slope([(depth, math.log(value)) for depth, value in points])
    return Drift(slope, len(segment.operations), points[0][1], points[-1][1], segment.chance)


def signal_rms(operation: Operation) -> float | None:
    """Rms of z_l."""
    return operation.forward.rms if operation.forward else None


def varied_rms(floor: float) -> Callable[[Operation], float | None]:
    """Rms of the part of z_l that differs between batch entries; shares below ``floor`` are rounding and read as it."""

    def read(operation: Operation) -> float | None:
        if operation.forward is None or operation.forward.batch_share is None:
            return None
        return operation.forward.rms * math.sqrt(max(operation.forward.batch_share, floor))

    return read


def gradient_norm(operation: Operation) -> float | None:
    """Norm of g_l. The norm and not the rms: weights drawn by fan in keep it whatever the widths and strides are."""
    return operation.backward.rms * math.sqrt(math.prod(operation.shape)) if operation.backward else None


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def _is_layer(trace: Trace, operation: Operation) -> bool:
    """One live input times one weight; lookups, recurrent cells and products of two signals start anew."""
    use = weight_use(operation)
    if operation.kind != "weighted" or not operation.from_input or use is None or use.slot != "weight":
        return False
    return len(live_inputs(trace, operation)) == 1 and not any(other.slot == "recurrent" for other in operation.uses)


def _layer_before(graph: Graph, layer: Operation) -> int | None:
    """The layer whose result reaches ``layer`` unnormalised, alone, and nowhere past it by a skip."""
    trace, operation = graph.trace, layer
    while len(sources := live_inputs(trace, operation)) == 1 or (sources and operation.role in _WRITTEN_OUT):
        operation = min(sources, key=lambda source: source.index)
        if _is_skipped(trace.operations[reader] for reader in graph.readers[operation.index]):
            return None
        if _is_layer(trace, operation):
            return operation.index
        if operation.kind not in _PASSES and operation.role not in _PASSES_AS | _WRITTEN_OUT:
            return None
    return None


def _is_skipped(readers: Iterable[Operation]) -> bool:
    return any(reader.role in _SKIPS or reader.kind == "join" for reader in readers)


def _run(trace: Trace, start: int, heir: dict[int, int]) -> Iterable[Operation]:
    index: int | None = start
    while index is not None:
        yield trace.operations[index]
        index = heir.get(index)
