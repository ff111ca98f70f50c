"""A bias against what the weights bring: per unit, from the statistics of their sum."""

import math
from dataclasses import dataclass

from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.uses import live_inputs, weight_use


@dataclass(frozen=True, slots=True)
class Offsets:
    """One bias and the responses it is part of: z_i = (W x)_i + b_i."""

    parameter: str
    bias: tuple[float, ...]
    """b_i."""
    mean: tuple[float, ...]
    """Mean of (W x)_i over positions."""
    spread: tuple[float, ...]
    """Standard deviation of (W x)_i over positions, which is that of z_i."""
    by_law: float
    """Rms of (W x)_i that these weights would bring for inputs of rms 1; 0 when unknown.

    A bias below it is no larger than the weights: what makes it loud is a signal that has faded before.
    """

    @property
    def drive(self) -> tuple[float, ...]:
        """Rms of (W x)_i."""
        return tuple(math.hypot(mean, spread) for mean, spread in zip(self.mean, self.spread, strict=True))


def offsets(trace: Trace, operation: Operation, facts: dict[str, TensorFact]) -> Offsets | None:
    """Take the bias out of the result it was added to; None without a bias, or when not every unit was measured."""
    use, signal = bias_use(operation), operation.forward
    if use is None or signal is None:
        return None
    bias = facts[use.parameter].values.unpack() if use.parameter in facts else ()
    if len(bias) != signal.units or use.is_derived or use.part is not None:
        return None
    mean, square = signal.unit_mean.unpack(), signal.unit_square.unpack()
    spread = tuple(math.sqrt(max(0.0, s - m * m)) for m, s in zip(mean, square, strict=True))
    centre = tuple(m - b for m, b in zip(mean, bias, strict=True))
    return Offsets(use.parameter, tuple(bias), centre, spread, _by_law(trace, operation, facts))


def _by_law(trace: Trace, operation: Operation, facts: dict[str, TensorFact]) -> float:
    """rms(w) sqrt(fan in) of the weight in front of the bias."""
    while operation.kind != "weighted" and len(sources := live_inputs(trace, operation)) == 1:
        operation = sources[0]
    use = weight_use(operation)
    if use is None or use.fan_in is None or use.parameter not in facts:
        return 0.0
    return facts[use.parameter].rms * math.sqrt(use.fan_in)


def bias_use(operation: Operation) -> ParameterUse | None:
    """The bias that the operation adds: inside a weighted operation, or as an addition of its own."""
    if operation.kind != "weighted" and operation.role != "bias":
        return None
    return next((use for use in operation.uses if use.slot == "bias"), None)
