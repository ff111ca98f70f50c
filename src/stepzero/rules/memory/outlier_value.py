"""SZ103."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.loudest import blocked_unit
from stepzero.measure.tails import sure_reach
from stepzero.measure.uses import readings

_DRAWN = frozenset(["weight", "recurrent"])


@rule(
    "SZ103",
    "outlier-value",
    tier=1,
    limits=(
        "outlier_false_call",
        "outlier_min_elements",
        "outlier_share",
        "outlier_ordinary",
        "outlier_garbage",
        "outlier_sample_errors",
        "outlier_max_kurtosis_z",
        "outlier_subnormal_share",
        "outlier_zero_share",
        "saturated_flat_share",
    ),
)
def outlier_value(trace: Trace, limits: Limits) -> Verdict:
    """A few values of a parameter lie further out than any draw puts them.

    What it finds
    -------------
    The largest deviation from the mean, in robust standard deviations (from the median absolute deviation), against
    the point that a Gaussian tensor of that size passes once in a million. Few means at most 1 % of the elements.
    Also: parameters of which more than 5 % are subnormal, and single numbers whose square overflows float32.

    Why it matters
    --------------
    One weight of 40 among weights of 0.02 owns its unit: the response is that weight times one input, saturated or
    dead. Numbers of order 1e30 are what freshly allocated memory holds.

    When it is fine
    ---------------
    Tensors with fewer than 16 elements, constant or mostly zero ones, identities and orthogonal draws (no element
    above 1), and tensors with two scales by design (far elements are more than 1 %) are not reported. Biases,
    gains and tables have laws of their own and are only reported beyond 30 deviations.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
        with torch.no_grad():
            model[0].weight[3, 2] = 40.0
        return model, torch.randn(32, 64)

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
        nn.init.trunc_normal_(model[0].weight, std=0.02, a=-2.0, b=2.0)
        return model, torch.randn(32, 64)

    Fix
    ---
    Draw the tensor again, in float32, and cast afterwards.

    References
    ----------
    pytorch/pytorch#155588 and #145498 (truncated normal in low precision); fla-org/flame#9 (values of order 1e30).
    """
    slots = {name: {use.slot for _, use in uses} for name, uses in readings(trace).items()}
    for fact in trace.parameters:
        if not fact.numel > 0 or fact.num_nonfinite or fact.state != "ready":
            continue
        is_drawn = bool(slots[fact.name] & _DRAWN)
        if (value := _garbage(fact, limits)) is not None:
            said = f"holds {value:.3g}, and no weight is above {limits.outlier_garbage:.0e}"
            yield _finding(trace, fact, said, abs(value), limits.outlier_garbage, "", limits)
        elif (far := _far(fact, limits, is_drawn=is_drawn)) is not None:
            deviations, limit, value = far
            chance = f"among {fact.numel:,} values chance reaches {limit:.1f}"
            said = f"holds {value:.3g}, {deviations:.1f} deviations out; {chance}"
            yield _finding(trace, fact, said, deviations, limit, "standard deviations", limits)
        elif fact.numel >= limits.outlier_min_elements and fact.subnormal_share > limits.outlier_subnormal_share:
            most = limits.outlier_subnormal_share
            said = f"is subnormal in {fact.subnormal_share:.0%} of its values; at most {most:.0%} may be"
            yield _finding(trace, fact, said, fact.subnormal_share, most, "share of values", limits)


def _finding(
    trace: Trace, fact: TensorFact, said: str, value: float, limit: float, unit: str, limits: Limits
) -> Finding:
    blocked = blocked_unit(trace, fact.name, limits.saturated_flat_share)
    if not blocked and _garbage(fact, limits) is not None and not math.isfinite(trace.loss.value or 0.0):
        blocked = f"the loss is {trace.loss.value}"
    return Finding(
        code="SZ103",
        name="outlier-value",
        severity="error" if blocked else "warning",
        where=(fact.name,),
        message=f"{fact.name} {said}{blocked and '; ' + blocked}",
        value=value,
        limit=limit,
        unit=unit,
        evidence="gradient" if blocked else "value",
        fix=Fix("redraw in float32, then cast", fact.name, "law", is_safe=True),
        citation="pytorch/pytorch#155588",
    )


def _garbage(fact: TensorFact, limits: Limits) -> float | None:
    value = max(fact.low, fact.high, key=abs)
    return value if abs(value) > limits.outlier_garbage else None


def _far(fact: TensorFact, limits: Limits, *, is_drawn: bool) -> tuple[float, float, float] | None:
    """(deviations, limit, value) of the farthest element when it is out of reach and alone."""
    value = max(fact.low, fact.high, key=lambda end: abs(end - fact.mean))
    distance = abs(value - fact.mean)
    if fact.numel < limits.outlier_min_elements or fact.spread <= 0.0 or fact.zero_share > limits.outlier_zero_share:
        return None
    limit = sure_reach(fact.numel, limits.outlier_false_call, limits.outlier_sample_errors)
    limit = limit if is_drawn else max(limit, limits.outlier_max_kurtosis_z)
    deviations = distance / fact.spread
    if deviations <= limit or math.isinf(limit):
        return None
    share = max(0.0, fact.std**2 - fact.spread**2) / distance**2
    is_law = share > max(limits.outlier_share, 2 / fact.numel)
    is_ordinary = len(fact.shape) > 1 and abs(value) <= limits.outlier_ordinary + limit * fact.spread
    return None if is_law or is_ordinary else (deviations, limit, value)
