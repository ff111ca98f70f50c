"""Multiplications by one number: ``0.5 * h``, ``h / 2``, a buffer with one entry."""

import math

from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import live_inputs

_EQUAL = 1e-3
"""Relative difference between the factors of two units below which they are one number, narrow dtypes apart."""


def constant_factor(trace: Trace, operation: Operation) -> float | None:
    """The positive number that ``operation`` multiplies its one live input by; None when it does anything else.

    Told from the mean squares of the units: a vector, a square or a learnt scale changes some more than others.
    """
    sources = live_inputs(trace, operation)
    if operation.kind != "multiply" or operation.uses or len(sources) != 1 or sources[0].shape != operation.shape:
        return None
    before, after = sources[0].forward, operation.forward
    if before is None or after is None or before.units != after.units:
        return None
    pairs = zip(before.unit_square.unpack(), after.unit_square.unpack(), strict=True)
    ratios = [math.sqrt(new / old) for old, new in pairs if old > 0]
    if len(ratios) <= 1 or not all(map(math.isfinite, ratios)) or min(ratios) == 0:
        return None
    return ratios[0] if max(ratios) - min(ratios) <= _EQUAL * max(ratios) else None
