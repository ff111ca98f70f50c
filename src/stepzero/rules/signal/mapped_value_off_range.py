"""SZ319."""

import math
from collections.abc import Callable

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.uses import readings


def _sigmoid(p: float) -> float:
    return 1 / (1 + math.exp(-p)) if p > 0 else math.exp(p) / (1 + math.exp(p))


_SLOPES: dict[str, Callable[[float], float]] = {
    "sigmoid": lambda p: 4 * _sigmoid(p) * _sigmoid(-p),
    "tanh": lambda p: 1 - math.tanh(p) ** 2,
    "softplus": _sigmoid,
    "hardsigmoid": lambda p: float(abs(p) < _HARD),
}
"""Slope of each map at p, over its largest."""
_HARD = 3.0


@rule("SZ319", "mapped-value-off-range", tier=2, limits=("mapped_slope", "mapped_share"))
def mapped_value_off_range(trace: Trace, limits: Limits) -> Verdict:
    """A parameter sits on the flat part of the map through which the model reads it.

    What it finds
    -------------
    Trainable parameters that are read only through a sigmoid, tanh or softplus, before they meet the batch, and of
    which most entries stand where the map's slope is below 1e-4 of its largest. Decays of a recurrence are SZ318.

    Why it matters
    --------------
    The effective value cannot move: its gradient is the map's slope times what arrives. The usual reason is a value
    stored on the wrong side of the map, the logarithm of a logarithm, or an inverse taken of the wrong quantity.

    When it is fine
    ---------------
    Standard deviations started at softplus(-7) have a slope of 9e-4. Maps of a signal are activations (SZ303), gates
    near zero are SZ703, and frozen parameters are meant.

    Bad
    ---
    import torch
    from torch import nn

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.share = nn.Linear(16, 16), nn.Parameter(torch.full((16,), 0.05))
            with torch.no_grad():
                self.share.copy_(torch.log(self.share * 1e-5))

        def forward(self, x):
            return x + torch.sigmoid(self.share) * self.body(x)

    def build():
        return Mixed(), torch.randn(32, 16)

    expected = ("share",)

    Good
    ----
    import torch
    from torch import nn

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.share = nn.Linear(16, 16), nn.Parameter(torch.full((16,), 0.05))
            with torch.no_grad():
                self.share.copy_(torch.logit(self.share))

        def forward(self, x):
            return x + torch.sigmoid(self.share) * self.body(x)

    def build():
        return Mixed(), torch.randn(32, 16)

    Fix
    ---
    Choose the effective value, then invert the map that the forward applies.

    References
    ----------
    kmheckel/spyx#42; athms/mad-lab#3.
    """
    facts = {fact.name: fact for fact in trace.parameters}
    for name, uses in readings(trace).items():
        fact = facts.get(name)
        direct = [operation for operation, use in uses if not use.is_derived]
        maps = {operation.name for operation in direct}
        if fact is None or not fact.requires_grad or len(maps) != 1 or not all(map(_is_map, direct)):
            continue
        (through,) = maps
        share = _flat_share(fact, _SLOPES[through], limits)
        if share is not None and share > limits.mapped_share:
            yield _finding(fact, through, share, limits)


def _is_map(operation: Operation) -> bool:
    return not operation.from_input and operation.name in _SLOPES


def _flat_share(fact: TensorFact, slope: Callable[[float], float], limits: Limits) -> float | None:
    """Of a vector its entries; of anything else, whether both ends and the mean are flat."""
    values = fact.values.unpack() or [fact.low, fact.mean, fact.high]
    if not all(map(math.isfinite, values)):
        return None
    return sum(slope(value) < limits.mapped_slope for value in values) / len(values)


def _finding(fact: TensorFact, through: str, share: float, limits: Limits) -> Finding:
    return Finding(
        code="SZ319",
        name="mapped-value-off-range",
        severity="warning",
        where=(fact.name,),
        message=(
            f"{fact.name} is read through {through}, and {share:.0%} of it (mean {fact.mean:.3g}) stands where the "
            f"slope is below {limits.mapped_slope:g} of the largest; the limit is {limits.mapped_share:.0%}"
        ),
        value=share,
        limit=limits.mapped_share,
        unit="share of entries",
        evidence="value",
        cause="wrong-map",
        fix=Fix("choose the effective value and invert the map", fact.name),
        citation="kmheckel/spyx#42",
    )
