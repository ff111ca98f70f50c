"""SZ103."""

import math
from typing import NamedTuple

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.loudest import blocked_unit
from stepzero.measure.tails import farthest, sure_reach
from stepzero.measure.uses import readings

_DRAWN = frozenset(["weight", "recurrent"])
_LIMITS = (
    *("outlier_false_call", "outlier_min_elements", "outlier_share", "outlier_ordinary", "outlier_garbage"),
    *("outlier_sample_errors", "outlier_max_kurtosis_z", "outlier_zero_share", "outlier_subnormal_share"),
    "saturated_flat_share",
)


class Odd(NamedTuple):
    """One way in which values are out of order."""

    words: str
    value: float
    limit: float
    unit: str


@rule("SZ103", "outlier-value", tier=1, limits=_LIMITS)
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
    dead. Numbers of order 1e30 are what freshly allocated memory holds. A single -2 among weights of 0.02 is the bound
    of a truncated normal whose uniform number came out as its end, as one in 2^24 does: large models hold several.

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
        if fact.num_nonfinite or fact.sample == 0:
            continue
        is_drawn = bool(slots[fact.name] & _DRAWN)
        odd = _garbage(fact, limits) or _far(fact, limits, is_drawn=is_drawn) or _subnormal(fact, limits)
        if odd is not None:
            yield _finding(trace, fact, odd, limits)


def _garbage(fact: TensorFact, limits: Limits) -> Odd | None:
    value, most = max(fact.low, fact.high, key=abs), limits.outlier_garbage
    return (
        Odd(f"holds {value:.3g}, and no weight is above {most:.0e}", abs(value), most, "")
        if abs(value) > most
        else None
    )


def _far(fact: TensorFact, limits: Limits, *, is_drawn: bool) -> Odd | None:
    """The farthest element when it is out of reach and nearly alone."""
    if fact.numel < limits.outlier_min_elements or fact.zero_share > limits.outlier_zero_share or fact.spread <= 0.0:
        return None
    far, limit = farthest(fact), sure_reach(fact.numel, limits.outlier_false_call, limits.outlier_sample_errors)
    limit = limit if is_drawn else max(limit, limits.outlier_max_kurtosis_z)
    is_law = far.share > max(limits.outlier_share, 2 / fact.numel)
    is_ordinary = len(fact.shape) > 1 and abs(far.value) <= limits.outlier_ordinary + limit * fact.spread
    if far.deviations <= limit or is_law or is_ordinary:
        return None
    words = f"holds {far.value:.3g}, {far.deviations:.1f} deviations out; among {fact.numel:,} values chance reaches"
    return Odd(f"{words} {limit:.1f}", far.deviations, limit, "standard deviations")


def _subnormal(fact: TensorFact, limits: Limits) -> Odd | None:
    share, most = fact.subnormal_share, limits.outlier_subnormal_share
    if fact.numel < limits.outlier_min_elements or share <= most:
        return None
    return Odd(f"is subnormal in {share:.0%} of its values; at most {most:.0%} may be", share, most, "share of values")


def _finding(trace: Trace, fact: TensorFact, odd: Odd, limits: Limits) -> Finding:
    blocked = blocked_unit(trace, fact.name, limits.saturated_flat_share)
    if not blocked and _garbage(fact, limits) is not None and not math.isfinite(trace.loss.value or 0.0):
        blocked = f"the loss is {trace.loss.value}"
    return Finding(
        code="SZ103",
        name="outlier-value",
        severity="error" if blocked else "warning",
        where=(fact.name,),
        message=f"{fact.name} {odd.words}{blocked and '; ' + blocked}",
        value=odd.value,
        limit=odd.limit,
        unit=odd.unit,
        evidence="gradient" if blocked else "value",
        fix=Fix("redraw in float32, then cast", fact.name, "law", is_safe=True),
        citation="pytorch/pytorch#155588",
    )
