"""SZ312."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Signal, Trace
from stepzero.measure.uses import place_of

_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895e38, "float32": 3.4028e38, "float64": 1.7977e308}
_JUDGED = frozenset(["weighted", "product", "activation", "norm", "attention"])
"""Sums are left out: a mask adds the largest number there is."""


@rule("SZ312", "overflow-ahead", tier=2, limits=("overflow_share",))
def overflow_ahead(trace: Trace, limits: Limits) -> Verdict:
    """A response or gradient is close to the largest number its dtype holds.

    What it finds
    -------------
    The loudest unit of each layer, product and activation, and of the gradient that arrives there, against a tenth of
    the largest finite number of the dtype it is kept in (65,504 in float16). Named is the first place in the order of
    the computation.

    Why it matters
    --------------
    One step of a learning rate that raises the scale a little, one unlucky batch, and the number is infinite; from
    there on every weight above becomes NaN.

    When it is fine
    ---------------
    Masks that add the largest number there is are sums, and not looked at. Numbers that are infinite already are
    SZ510 and SZ101. bfloat16 has the range of float32.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.normal_(model[0].weight, std=30.0)
        nn.init.normal_(model[2].weight, std=8.0)
        nn.init.normal_(model[4].weight, std=0.01)
        return model.half(), torch.randn(16, 32).half()

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
        return model.half(), torch.randn(16, 32).half()

    Fix
    ---
    Rescale the layer to its law, or keep it in bfloat16 or float32.

    References
    ----------
    Micikevicius et al. 2018.
    """
    judged = [each for each in trace.operations if each.kind in _JUDGED and each.dtype in _LARGEST and not each.in_loss]
    loud = next((each for each in judged if _is_close(each, each.forward, limits)), None)
    if loud is not None:
        yield _finding(trace, loud, loud.forward, "responds with", limits)
    steep = next((each for each in reversed(judged) if _is_close(each, each.backward, limits)), None)
    if steep is not None:
        yield _finding(trace, steep, steep.backward, "receives gradients of", limits)


def _peak(signal: Signal | None) -> float:
    """Largest response where it is known, else the rms of the loudest unit, which is a little less."""
    if signal is None:
        return 0.0
    ends = [abs(end) for end in (signal.low, signal.high) if end is not None]
    return max([signal.rms, *ends, math.sqrt(max(signal.unit_square, default=0.0))])


def _is_close(operation: Operation, signal: Signal | None, limits: Limits) -> bool:
    peak = _peak(signal)
    return math.isfinite(peak) and peak > limits.overflow_share * _LARGEST[operation.dtype]


def _finding(trace: Trace, operation: Operation, signal: Signal | None, does: str, limits: Limits) -> Finding:
    place, peak, largest = place_of(trace, operation), _peak(signal), _LARGEST[operation.dtype]
    return Finding(
        code="SZ312",
        name="overflow-ahead",
        severity="warning",
        where=place,
        message=(
            f"{operation.name} at {place[0] or 'the model itself'} {does} {peak:.3g} in {operation.dtype}, which ends "
            f"at {largest:.3g}; the limit is {limits.overflow_share:g} of that"
        ),
        value=peak,
        limit=limits.overflow_share * largest,
        evidence="value",
        fix=Fix("rescale the layer to its law, or keep it in a wider dtype", place[-1], "law"),
        citation="Micikevicius et al. 2018",
        operation=operation.index,
    )
