"""SZ210."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.draws import same_beginning
from stepzero.measure.words import enumerated


@rule("SZ210", "reused-draw", tier=2)
def reused_draw(trace: Trace, _: Limits) -> Verdict:
    """Weights of different shape or scale begin with the same random numbers.

    What it finds
    -------------
    Trainable weights whose first 32 elements agree up to a positive factor, though they are irregular and of many
    values: each was drawn from the same generator state. Exact but for rounding.

    Why it matters
    --------------
    Layers that should be independent share their randomness: rows of one repeat in the other, products of such
    matrices are far from those of random ones, and "different" adapters or heads start in one subspace.

    When it is fine
    ---------------
    Ramps, frequency tables, kernels of few values, tied tensors and frozen copies are not reported. Copies of one
    shape and content are SZ207 when they stand side by side and SZ209 in series.

    Bad
    ---
    import torch
    from torch import nn

    def layer(fan_in, fan_out):
        torch.manual_seed(7)
        return nn.Linear(fan_in, fan_out)

    def build():
        model = nn.Sequential(layer(32, 64), nn.ReLU(), layer(64, 48), nn.ReLU(), layer(48, 4))
        return model, torch.randn(64, 32)

    expected = ("0.weight", "2.weight", "4.weight")

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(7)
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 4))
        return model, torch.randn(64, 32)

    Fix
    ---
    Seed once, in front of the whole model, or give every tensor a generator of its own.

    References
    ----------
    adapter-hub/adapters#786.
    """
    trainable = [fact for fact in trace.parameters if fact.requires_grad and fact.is_used]
    for group in same_beginning(trainable):
        kinds = {_content(fact) for fact in group}
        if len(kinds) < 2:
            continue
        names = tuple(fact.name for fact in group)
        yield Finding(
            code="SZ210",
            name="reused-draw",
            severity="warning",
            where=names,
            message=f"{enumerated(names)} begin with the same random numbers: {len(names)} tensors came from one draw",
            value=float(len(names)),
            limit=1.0,
            unit="tensors a draw",
            evidence="value",
            cause="same-seed",
            fix=Fix("draw each from a state of its own", names[-1], "law", is_safe=True),
            citation="adapter-hub/adapters#786",
        )


def _content(fact: TensorFact) -> tuple[object, ...]:
    """Equal for equal content of one shape, which other rules judge."""
    return fact.shape, fact.low, fact.high
