"""Activations as a group of units: how many are flat, how many are off, and how many would be off by chance."""

import math
from collections.abc import Iterable
from statistics import NormalDist

from stepzero.core.trace import Operation, Signal, Trace
from stepzero.measure.uses import before


def is_bounded(operation: Operation) -> bool:
    """Whether both far sides are flat: tanh, sigmoid. A hard tanh that stays above 0 is a clipped rectifier (ReLU6)."""
    is_clipped = operation.name == "hardtanh" and operation.forward is not None and operation.forward.low >= 0.0
    return bool(operation.attributes.get("bounded")) and not is_clipped


def flat_share(signal: Signal, limit: float) -> float:
    """Share of units whose slope is small on more than ``limit`` of the positions, 0 to 1."""
    return _share(share > limit for share in signal.flat_share)


def off_share(signal: Signal) -> float:
    """Share of units whose slope is exactly zero at every position, 0 to 1."""
    return _share(share >= 1.0 for share in signal.off_share)


def _share(units: Iterable[bool]) -> float:
    counted = list(units)
    return sum(counted) / len(counted) if counted else 0.0


def chance_off_share(trace: Trace, activation: Operation) -> float:
    """Share of units off on the whole batch when nothing is wrong but that its samples resemble each other, 0 to 0.5.

    A unit's input is m + s x: m its mean over positions, s its spread. Over a centred draw m ~ N(0, E m^2), and the
    largest x of n batch entries is about q = Phi^-1((n - 3/8) / (n + 1/4)) (Blom), so P(off) = Phi(-q s / rms(m)).
    """
    source = before(trace, activation)
    signal = source.forward if source is not None else None
    if signal is None or signal.samples < 2 or signal.nonfinite:
        return 0.0
    constant = sum(mean * mean for mean in signal.unit_mean) / signal.units
    varied = max(0.0, sum(signal.unit_square) / signal.units - constant)
    if constant == 0.0:
        return 0.0
    normal, entries = NormalDist(), signal.samples
    reach = normal.inv_cdf((entries - 0.375) / (entries + 0.25))
    return normal.cdf(-reach * math.sqrt(varied / constant))


def slope_through(trace: Trace, activation: Operation) -> float | None:
    """Rms of the gradient behind the activation over that in front of it; None when either was not measured."""
    source = before(trace, activation)
    if source is None or source.backward is None or activation.backward is None or activation.backward.rms == 0.0:
        return None
    return source.backward.rms / activation.backward.rms
