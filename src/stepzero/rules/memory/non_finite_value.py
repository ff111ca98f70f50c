"""SZ101."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace


@rule("SZ101", "non-finite-value", tier=1)
def non_finite_value(trace: Trace, limits: Limits) -> Verdict:
    """A parameter or buffer holds NaN or infinity.

    What it finds
    -------------
    Every element of every parameter and floating-point buffer is read once; one NaN or infinity is enough. There is
    no threshold. Values that become finite later (a log-decay of -inf whose exponential is 0) count too: their
    channel is frozen, because the derivative of the map is zero or undefined there.

    Why it matters
    --------------
    NaN spreads to every output that depends on it, in one forward pass, and through the loss to every gradient. An
    infinite logarithm freezes its channel in silence.

    When it is fine
    ---------------
    A buffer used as an additive mask before a softmax may hold -inf: buffers with -inf but no NaN and no +inf are
    not reported.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        with torch.no_grad():
            model[0].weight[3, 2] = float("nan")
        return model, torch.randn(16, 8)

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        model.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))
        return model, torch.randn(16, 8)

    Fix
    ---
    Draw the values again by the layer's law, in float32, and cast afterwards: bf16 rounds U(0, 16) to exact zeros,
    and their logarithm is -inf.

    References
    ----------
    TransformerLensOrg/TransformerLens#902; huggingface/transformers#47831 (bf16 log-decay drawn as -inf).
    """
    for fact in (*trace.parameters, *trace.buffers):
        if fact.num_nonfinite and not _is_mask(fact):
            yield Finding(
                code="SZ101",
                name="non-finite-value",
                severity="error",
                where=(fact.name,),
                message=(
                    f"{fact.num_nonfinite:,} of {fact.numel:,} values are NaN or infinite "
                    f"(the first at flat index {fact.first_nonfinite}); none may be"
                ),
                value=float(fact.num_nonfinite),
                limit=0.0,
                unit="values",
                evidence="value",
                fix=Fix("redraw by the layer's law in float32, then cast", fact.name, "law", is_safe=True),
                citation="TransformerLensOrg/TransformerLens#902",
            )


def _is_mask(fact: TensorFact) -> bool:
    """Additive masks: -inf and finite numbers only. A NaN makes both extremes NaN."""
    return (
        fact.kind == "buffer"
        and fact.low == float("-inf")
        and fact.high not in (float("inf"),)
        and fact.high == fact.high
    )
