"""SZ206."""

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.constants import KINK, PAIR, Constants, Effect
from stepzero.measure.roundoff import unit_roundoff

_SEVERITY: dict[str, Severity] = {"forever": "error", "alike": "warning", "harmless": "info"}


@rule(
    "SZ206",
    "constant-weight",
    tier=1,
    limits=("constant_roundoffs", "constant_min_elements", "constant_fingerprint", "equality_roundoffs"),
)
def constant_weight(trace: Trace, limits: Limits) -> Verdict:
    """A weight matrix holds one value everywhere.

    What it finds
    -------------
    Trainable matrices, kernels and tables of more than 8 elements that are all equal. How loudly it speaks follows
    the effect: an error when the units respond alike *and* receive alike gradients, or when a zero weight provably
    never moves; a warning when only the responses are alike; a note for zero starts that wake up.

    Why it matters
    --------------
    Units with equal rows respond alike. When their gradients are alike too they stay copies for ever, whatever the
    data, loss and optimizer: the layer is one unit wide. A zero weight behind another one, or in front of a ReLU,
    gets no gradient at all.

    When it is fine
    ---------------
    Norm gains, LayerScale, biases, frozen filters, a single output unit and a single input are not looked at. Zero
    heads, zero last layers of residual branches, zero attention logits, zero gates, adapters with one zero factor
    and zero position tables are notes: they wake up by themselves.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))
        for layer in (model[0], model[2], model[4]):
            nn.init.constant_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)
        return model, torch.randn(32, 8), lambda output: (output - torch.randn(32, 4)).square().mean()

    expected = ("0.weight", "2.weight")

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        nn.init.zeros_(model[2].weight)
        return model, torch.randn(32, 8), lambda output: nn.functional.cross_entropy(output, torch.arange(32) % 4)

    Fix
    ---
    Draw the weight by the layer's law. Of two zero factors in a row draw one.

    References
    ----------
    LeCun et al. 1998, section 4.6; He et al. 2015; facebookresearch/fairseq#4076; srenevey/neuro#4.
    """
    floor = limits.equality_roundoffs * unit_roundoff("float32")
    constants = Constants(trace, limits.constant_fingerprint, floor)
    found = [fact for fact in trace.parameters if _is_constant(fact, limits) and constants.is_weight(fact)]
    constants.find_pairs([fact for fact in found if fact.is_zero])
    groups: dict[tuple[Effect, float], list[TensorFact]] = {}
    for fact in found:
        groups.setdefault((constants.effect(fact), fact.mean), []).append(fact)
    for (effect, value), facts in groups.items():
        yield _finding(effect, value, facts, limits)


def _is_constant(fact: TensorFact, limits: Limits) -> bool:
    """Equal within the rounding of a fill; the extremes are exact, so no element hides from a sample."""
    is_large = fact.numel > limits.constant_min_elements and fact.sample > 0 and fact.num_nonfinite == 0
    return is_large and fact.high - fact.low <= _allowed(fact, limits)


def _allowed(fact: TensorFact, limits: Limits) -> float:
    return limits.constant_roundoffs * unit_roundoff(fact.dtype) * abs(fact.mean)


def _finding(effect: Effect, value: float, facts: list[TensorFact], limits: Limits) -> Finding:
    more = f" and {len(facts) - 1:,} more hold" if len(facts) > 1 else " holds"
    return Finding(
        code="SZ206",
        name="constant-weight",
        severity=_SEVERITY[effect.level],
        where=tuple(fact.name for fact in facts),
        message=(
            f"{facts[0].name}{more} one value, {value:g} (differences up to {limits.constant_roundoffs:g} roundings "
            f"count as none): {effect.words}"
        ),
        value=max(fact.high - fact.low for fact in facts),
        limit=_allowed(facts[0], limits),
        unit="spread of the values",
        evidence="value" if effect.level == "harmless" else "gradient",
        cause=_cause(effect),
        fix=None
        if effect.level == "harmless"
        else Fix("redraw by the layer's law", facts[0].name, "law", is_safe=True),
        citation="LeCun et al. 1998",
    )


def _cause(effect: Effect) -> str:
    if effect.level == "harmless":
        return ""
    return {PAIR: "zero-factor-pair", KINK: "kink-at-zero"}.get(effect, "constant-fill")
