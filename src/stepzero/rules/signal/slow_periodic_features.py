"""SZ320."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.homogeneous import input_of
from stepzero.measure.uses import before, weight_use

_PERIODIC = frozenset(["sin", "cos"])
_LIMITS = ("periodic_inputs", "periodic_phase", "periodic_aliasing", "periodic_min_rows")


@rule("SZ320", "slow-periodic-features", tier=2, limits=_LIMITS)
def slow_periodic_features(trace: Trace, limits: Limits) -> Verdict:
    """A periodic first layer turns so slowly that no unit sees half a period of the data, or so fast that all is noise.

    What it finds
    -------------
    A first layer on at most four numbers with a sine or cosine behind it, and the standard deviation of the phase
    over the data, taken over all units: reported below pi / 2, and above 20 pi.

    Why it matters
    --------------
    A sine of a small angle is a line. The first layer sets which frequencies the network can represent at the start;
    hidden layers have a smaller draw on purpose, and with it in the first layer fine detail never appears. Units that
    pass through tens of periods say something unrelated of neighbouring points: what is learnt of one helps no other.

    When it is fine
    ---------------
    Inputs that are encoded already have more than four numbers. Frozen projections, sine layers further in, and
    batches of a few points are not judged.

    Bad
    ---
    import torch
    from torch import nn

    class Sine(nn.Module):
        def __init__(self, inputs, units, bound):
            super().__init__()
            self.linear = nn.Linear(inputs, units)
            nn.init.uniform_(self.linear.weight, -bound, bound)

        def forward(self, x):
            return torch.sin(30 * self.linear(x))

    def build():
        hidden = (6 / 64) ** 0.5 / 30
        layers = Sine(2, 64, hidden), Sine(64, 64, hidden), nn.Linear(64, 1)
        return nn.Sequential(*layers), torch.rand(64, 2) * 2 - 1

    expected = ("0.linear.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Sine(nn.Module):
        def __init__(self, inputs, units, bound):
            super().__init__()
            self.linear = nn.Linear(inputs, units)
            nn.init.uniform_(self.linear.weight, -bound, bound)

        def forward(self, x):
            return torch.sin(30 * self.linear(x))

    def build():
        hidden = (6 / 64) ** 0.5 / 30
        layers = Sine(2, 64, 1 / 2), Sine(64, 64, hidden), nn.Linear(64, 1)
        return nn.Sequential(*layers), torch.rand(64, 2) * 2 - 1

    Fix
    ---
    Draw the first layer from U(-1/n, 1/n) for n inputs, in front of the frequency factor.

    References
    ----------
    Sitzmann et al. 2020; lucidrains/siren-pytorch#1.
    """
    frozen = {fact.name for fact in trace.parameters if not fact.requires_grad}
    for layer in trace.weighted():
        use = weight_use(layer)
        if use is None or use.parameter in frozen or not _is_first(trace, layer, use, limits):
            continue
        phase = _phase(trace, layer, limits)
        if phase is not None and not limits.periodic_phase <= phase <= limits.periodic_aliasing:
            yield _finding(layer, use, phase, limits)


def _is_first(trace: Trace, layer: Operation, use: ParameterUse, limits: Limits) -> bool:
    is_narrow = use.slot == "weight" and use.fan_in is not None and use.fan_in <= limits.periodic_inputs
    return is_narrow and layer.consumer in _PERIODIC and input_of(trace, layer) is not None


def _phase(trace: Trace, layer: Operation, limits: Limits) -> float | None:
    """Root of the mean variance of the units' arguments over positions; None when too little was seen."""
    source = before(trace, trace.operations[layer.consumer_index]) if layer.consumer_index is not None else None
    signal = source.forward if source is not None else None
    if signal is None or signal.rows < limits.periodic_min_rows or signal.nonfinite:
        return None
    pairs = list(zip(signal.unit_mean, signal.unit_square, strict=True))
    return math.sqrt(max(0.0, sum(square - mean * mean for mean, square in pairs) / len(pairs)))


def _finding(layer: Operation, use: ParameterUse, phase: float, limits: Limits) -> Finding:
    is_slow = phase < limits.periodic_phase
    limit = limits.periodic_phase if is_slow else limits.periodic_aliasing
    what = "half a period needs {:.3g}: its units are lines" if is_slow else "more than {:.3g} is noise between points"
    return Finding(
        code="SZ320",
        name="slow-periodic-features",
        severity="warning",
        where=(use.parameter,),
        message=(
            f"the phase of {layer.consumer} has standard deviation {phase:.3g} over the data, and {what.format(limit)}"
        ),
        value=phase,
        limit=limit,
        unit="radians",
        evidence="value",
        cause="wrong-gain",
        fix=Fix("draw the first layer from U(-1/n, 1/n)", parameter=use.parameter, scheme="siren", is_safe=True),
        citation="lucidrains/siren-pytorch#1",
        operation=layer.index,
    )
