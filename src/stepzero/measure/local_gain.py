"""What lies between two neighbouring layers does to the gradient, beyond what the weights account for.

Through a weight of standard deviation s and fan in n a gradient keeps s sqrt(n) of its norm: every entry of a result
hands its share to n inputs. What remains of the ratio of two norms is the *slope* of the map between the layers: 1 for
none, 0.7 for a ReLU, 0.25 for a sigmoid, and next to nothing for a map that is flat, or curved without a slope, where
the signal stands.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stepzero.core.control import Draw
from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.control import laws
from stepzero.measure.uses import live_inputs, weight_use

_STARTS_ANEW = frozenset(["norm", "softmax", "attention", "pool", "join", "weighted", "product", "loss"])
_SLOPES = 0.1, 5.0
"""No common map has a slope beyond these where it is used as meant."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two weighted operations, of which the second reads the first through a map of single numbers, and nobody else."""

    first: Operation
    second: Operation
    use: ParameterUse
    """Of the second one's weight."""

    def slope(self, backward: Callable[[int], float], std: float) -> float | None:
        """Of the map between them; ``backward``: rms of the gradient at an operation. None where nothing arrives."""
        above = backward(self.second.index) * math.sqrt(math.prod(self.second.shape))
        here = backward(self.first.index) * math.sqrt(math.prod(self.first.shape))
        through = above * std * math.sqrt(self.use.fan_in or math.nan)
        return here / through if math.isfinite(here) and math.isfinite(through) and through > 0.0 else None


def pairs(trace: Trace) -> tuple[Pair, ...]:
    """All of them, in the order of execution."""
    graph = Graph(trace)
    found = ((_before(graph, each), each, weight_use(each)) for each in trace.weighted())
    return tuple(
        Pair(first, second, use)
        for first, second, use in found
        if first is not None and use is not None and use.fan_in and not use.is_derived and use.part is None
    )


def slopes(trace: Trace) -> dict[Pair, float]:
    """The model's own, of every pair where something arrives."""
    facts = {fact.name: fact for fact in trace.parameters}
    found = {
        pair: pair.slope(lambda index: _rms(trace.operations[index]), facts[pair.use.parameter].rms)
        for pair in pairs(trace)
        if pair.use.parameter in facts
    }
    return {pair: slope for pair, slope in found.items() if slope is not None}


def odd_slopes(trace: Trace) -> dict[Pair, float]:
    """Those that no common map has; where nothing at all comes through, others tell."""
    low, high = _SLOPES
    return {pair: own for pair, own in slopes(trace).items() if own > 0.0 and not low <= own <= high}


def slopes_in(trace: Trace, asked: Iterable[Pair], draw: Draw) -> dict[Pair, float]:
    """Those of the same maps in a draw of all weights by law; of pairs where it looked."""
    known, read = laws(trace), draw.backward
    found = {
        pair: pair.slope(lambda index: read[index] if index < len(read) else math.nan, known[pair.use.parameter].std)
        for pair in asked
        if pair.use.parameter in known
    }
    return {pair: slope for pair, slope in found.items() if slope is not None}


def _rms(operation: Operation) -> float:
    return operation.backward.rms if operation.backward is not None else math.nan


def _before(graph: Graph, layer: Operation) -> Operation | None:
    """The weighted operation in front, if all between keeps every number a number of its own, read once."""
    operation = layer
    while len(sources := live_inputs(graph.trace, operation)) == 1:
        source = sources[0]
        if len(graph.readers[source.index]) != 1 or source.in_loss:
            return None
        if source.kind == "weighted":
            return source
        size = math.prod(source.shape)
        if source.kind in _STARTS_ANEW or any(
            math.prod(each.shape) != size for each in live_inputs(graph.trace, source)
        ):
            return None
        operation = source
    return None
