"""SZ107."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.roundoff import unit_roundoff

_HALF = frozenset(["float16", "bfloat16"])
_SINGLE_ZERO = 2.0**-24
"""Probability that a uniform float32 number is exactly zero."""
_LIMITS = ("draw_zero_chance", "draw_spread_roundoffs", "draw_min_elements", "outlier_zero_share")


@rule("SZ107", "low-precision-draw", tier=2, limits=_LIMITS)
def low_precision_draw(trace: Trace, limits: Limits) -> Verdict:
    """A parameter was drawn in half precision, and the draw lost information.

    What it finds
    -------------
    Parameters stored below float32. A warning when their deviation is less than eight roundings of their mean: a
    small spread around one, of which half precision keeps a few steps. A note when a draw of positive
    numbers holds exact zeros: of those uniform between 0 and 16, drawn in bfloat16, one in 500 is zero. Needs
    the factory, and a draw as the last write it made.

    Why it matters
    --------------
    What the draw should tell apart is equal after rounding. A zero is a closed channel where a logarithm or a product
    follows (-inf is SZ101). Draws on a coarse lattice still train, hence the note.

    When it is fine
    ---------------
    Constants, sparse draws, and values drawn in float32 and cast afterwards. Float32 is never reported. Trained gains
    may lie close around one, and are not drawn.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4)).bfloat16()
        nn.init.normal_(model[1].weight, 1.0, 0.01)
        return model, torch.randn(64, 32).bfloat16()

    expected = ("1.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4)).bfloat16()
        return model, torch.randn(64, 32).bfloat16()

    Fix
    ---
    Draw in float32, transform, and cast last.

    References
    ----------
    huggingface/transformers#47831.
    """
    drawn = {each.parameter for each in trace.writes.parameters if each.writes[-1].kind == "draw"}
    for fact in trace.parameters:
        is_drawable = fact.requires_grad and not fact.is_constant and not fact.num_nonfinite
        if fact.dtype not in _HALF or not is_drawable or fact.numel < limits.draw_min_elements:
            continue
        lost = limits.draw_spread_roundoffs * unit_roundoff(fact.dtype) * abs(fact.mean)
        if 0.0 < fact.std < lost and fact.name in drawn:
            yield _narrow(fact, lost)
        elif fact.low == 0.0 and fact.name in drawn and fact.zero_share <= limits.outlier_zero_share:
            chance = fact.numel * _SINGLE_ZERO
            if chance < limits.draw_zero_chance:
                yield _zero(fact, chance, limits)


def _narrow(fact: TensorFact, lost: float) -> Finding:
    return Finding(
        code="SZ107",
        name="low-precision-draw",
        severity="warning",
        where=(fact.name,),
        message=(
            f"{fact.name} spreads by {fact.std:.2g} around {fact.mean:.3g}, and {fact.dtype} tells apart steps of "
            f"{unit_roundoff(fact.dtype) * abs(fact.mean):.2g} there; below {lost:.2g} the draw is mostly lost"
        ),
        value=fact.std,
        limit=lost,
        unit="standard deviation",
        evidence="value",
        cause="low-precision-draw",
        fix=Fix("draw in float32, then cast", fact.name),
        citation="huggingface/transformers#47831",
    )


def _zero(fact: TensorFact, chance: float, limits: Limits) -> Finding:
    return Finding(
        code="SZ107",
        name="low-precision-draw",
        severity="info",
        where=(fact.name,),
        message=(
            f"{fact.name} holds exact zeros among {fact.numel:,} positive numbers, which a float32 draw has with "
            f"probability {chance:.1g} (limit {limits.draw_zero_chance:g}): it was drawn in {fact.dtype}"
        ),
        value=chance,
        limit=limits.draw_zero_chance,
        unit="probability",
        evidence="value",
        cause="low-precision-draw",
        fix=Fix("draw in float32, then cast", fact.name),
        citation="huggingface/transformers#47831",
    )
