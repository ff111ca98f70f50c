"""SZ907."""

from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.modules import topmost


@rule("SZ907", "skipped-module", tier=1, limits=("skipped_share",))
def skipped_module(trace: Trace, limits: Limits) -> Verdict:
    """Parameters outside every operation of the pass: nothing is said about them.

    What it finds
    -------------
    Frozen parameters, and when no gradient was taken all parameters, that no recorded operation read. Trainable ones
    without a gradient are SZ405. One note lists the top-most modules and their share of all parameters.

    Why it matters
    --------------
    A check speaks of what ran. Silence about a part that did not run must not be read as approval.

    When it is fine
    ---------------
    Always a note. A frozen tower that this batch does not feed, or a target network that is only copied to, is
    ordinary. A bare parameter used through a function counts as covered.

    Bad
    ---
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.tower = nn.Linear(8, 4), nn.Linear(8, 8).requires_grad_(False)

        def forward(self, x):
            return self.used(x)

    def build():
        return Net(), torch.randn(16, 8)

    expected = ("tower",)

    Good
    ----
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 8) / 3)

        def forward(self, x):
            return torch.nn.functional.linear(x, self.weight)

    def build():
        return Net(), torch.randn(16, 8)

    Fix
    ---
    Feed a batch that reaches the part, or check it on its own.

    References
    ----------
    CalculatedContent/WeightWatcher#15.
    """
    if not trace.has_forward:
        return
    outside = {fact.name: fact for fact in trace.parameters if _is_outside(trace, fact)}
    total = sum(fact.numel for fact in trace.parameters)
    if not outside or not total:
        return
    groups = topmost(list(outside), [fact.name for fact in trace.parameters])
    share = sum(fact.numel for fact in outside.values()) / total
    yield Finding(
        code="SZ907",
        name="skipped-module",
        severity="info",
        where=tuple(groups),
        message=(
            f"{len(outside):,} parameters ({share:.0%} of all elements) were read by no operation of this pass, so "
            f"nothing is said about them; above {limits.skipped_share:.0%} take this check as partial"
        ),
        value=share,
        limit=limits.skipped_share,
        unit="share of parameters",
        evidence="fact",
        citation="CalculatedContent/WeightWatcher#15",
    )


def _is_outside(trace: Trace, fact: TensorFact) -> bool:
    is_said_elsewhere = trace.has_backward and fact.requires_grad
    return not fact.is_used and fact.gradient is None and not is_said_elsewhere
