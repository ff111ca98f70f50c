"""The unit that one far value drives: is it still able to answer?"""

import statistics

from stepzero.core.trace import Operation, Trace
from stepzero.measure.activations import is_bounded
from stepzero.measure.uses import readings

_OWNS = 10.0
"""A unit stands out when its mean square is this many times the median unit's."""


def blocked_unit(trace: Trace, parameter: str, flat: float) -> str:
    """Words for what the loudest unit behind ``parameter`` suffers; empty when it can answer like the others.

    ``flat`` is the share of positions above which a bounded unit counts as saturated.
    """
    for operation, _ in readings(trace).get(parameter, []):
        if operation.forward is None:
            continue
        if operation.forward.nonfinite:
            return f"{operation.name} returns NaN or infinity"
        unit = _standing_out(operation)
        if unit is not None and (words := _suffers(trace, operation, unit, flat)):
            return f"unit {unit} {words}"
    return ""


def _standing_out(operation: Operation) -> int | None:
    squares = operation.forward.unit_square.unpack() if operation.forward else ()
    if not squares:
        return None
    unit = max(range(len(squares)), key=lambda index: squares[index])
    return unit if squares[unit] > _OWNS * statistics.median(squares) else None


def _suffers(trace: Trace, operation: Operation, unit: int, flat: float) -> str:
    """Dead or saturated, while the median unit is not."""
    activation = trace.operations[operation.consumer_index] if operation.consumer_index is not None else None
    signal = activation.forward if activation is not None and activation.kind == "activation" else None
    if signal is None or activation is None or unit >= len(signal.flat_share):
        return ""
    if signal.off_share[unit] >= 1.0 > statistics.median(signal.off_share):
        return "is off at every position"
    if is_bounded(activation) and signal.flat_share[unit] > flat >= statistics.median(signal.flat_share):
        return f"is saturated at {signal.flat_share[unit]:.0%} of the positions"
    return ""
