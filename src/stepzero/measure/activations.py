"""Activations as a group of units: how many are flat, how many are off, and how many would be off by chance."""

import math
from collections.abc import Iterable

from stepzero.core.trace import Operation, Signal, Trace
from stepzero.measure.uses import before

_OFFSET = 3.0
"""Deviations; LeCun 1998 section 4.3."""


def is_bounded(operation: Operation) -> bool:
    """Whether both far sides are flat: tanh, sigmoid. A hard tanh from 0 on is a clipped rectifier (ReLU6)."""
    low, high = operation.attributes.get("min"), operation.attributes.get("max")
    if isinstance(low, float) and isinstance(high, float):
        return -math.inf < low < 0.0 < high < math.inf
    return bool(operation.attributes.get("bounded"))


def flat_share(signal: Signal, limit: float) -> float:
    """Share of units whose slope is small on more than ``limit`` of the positions, 0 to 1."""
    return _share(share > limit for share in signal.flat_share)


def off_share(signal: Signal) -> float:
    """Share of units whose slope is exactly zero at every position, 0 to 1."""
    return _share(share >= 1.0 for share in signal.off_share)


def offset_share(signal: Signal) -> float:
    """Share of units whose mean is more than three times their deviation over the positions, 0 to 1; NaN for one."""
    if signal.rows < 2 or not signal.units:
        return math.nan
    pairs = zip(signal.unit_mean, signal.unit_square, strict=True)
    return _share(abs(mean) > _OFFSET * math.sqrt(max(0.0, square - mean * mean)) for mean, square in pairs)


def _share(units: Iterable[bool]) -> float:
    counted = list(units)
    return sum(counted) / len(counted) if counted else 0.0


def on_share(signal: Signal) -> float:
    """Share of units that have a slope at every position, 0 to 1.

    What chance does to the others: weights are as likely as their negatives, so in a sound layer as many units are on
    for the whole batch as are off for it, however much its samples resemble each other.
    """
    return _share(share == 0.0 for share in signal.off_share)


def slope_through(trace: Trace, activation: Operation) -> float | None:
    """Rms of the gradient behind the activation over that in front of it; None when either was not measured."""
    source = before(trace, activation)
    if source is None or source.backward is None or activation.backward is None or activation.backward.rms == 0.0:
        return None
    return source.backward.rms / activation.backward.rms
