"""SZ412."""

import math
import statistics

from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace


@rule("SZ412", "ill-conditioned-kernel", tier=2, status="preview", needs=("kernel",), limits=("kernel_decades",))
def ill_conditioned_kernel(trace: Trace, limits: Limits) -> Verdict:
    """The gradients of different samples are nearly one: few things about the data can be learned at once.

    What it finds
    -------------
    log10 of the largest over the middle eigenvalue of the tangent kernel (inner products of the gradients of up to 32
    samples), less what the same network has when every tensor is drawn by its law. A note above 2 decades beyond
    the worst of three such draws. Only in a deep check.

    Why it matters
    --------------
    Gradient descent learns the direction of eigenvalue l in a time 1/l. Where the middle one is a hundred times
    further below the largest than it need be, half of what distinguishes the samples takes a hundred times as long.

    When it is fine
    ---------------
    Deep plain networks, pooled outputs and narrow heads are ill-conditioned however they are drawn; so are their draws
    by law, and the rule is silent. Alone the number does not foretell failure well (eight layers of tanh
    at torch's default gain are said, and train): hence a note, and the rule is in preview. Fewer
    than 8 samples, an output without an axis of samples and models too large to hold one gradient a sample are not
    looked at.

    Bad
    ---
    import torch
    from torch import nn

    options = {"deep": True}

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        nn.init.normal_(model[0].weight, std=1e-3)
        nn.init.normal_(model[0].bias)
        return model, torch.randn(32, 16), lambda output: (output - 1).square().mean()

    expected = ("",)

    Good
    ----
    import torch
    from torch import nn

    options = {"deep": True}

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        return model, torch.randn(32, 16), lambda output: (output - 1).square().mean()

    Fix
    ---
    Find the layer whose responses hardly vary over the batch in the table by layer, and draw it by its law.

    References
    ----------
    Xiao et al. 2020; Jacot et al. 2018.
    """
    found = trace.kernel
    if not found.ran:
        return
    worst = max(each.decades for each in found.drawn)
    if not found.own.decades - worst > limits.kernel_decades or math.isinf(worst):
        return
    usual = statistics.median(each.rank for each in found.drawn)
    yield Finding(
        code="SZ412",
        name="ill-conditioned-kernel",
        severity="info",
        where=("",),
        message=(
            f"the middle eigenvalue of the tangent kernel is {found.own.decades:.2g} decades below the largest, and "
            f"{worst:.2g} at most when drawn by law (limit {limits.kernel_decades:g} more); its rank is "
            f"{found.own.rank:.2g} and {usual:.2g}"
        ),
        value=found.own.decades - worst,
        limit=limits.kernel_decades,
        unit="decades beyond the control",
        evidence="control",
        citation="Xiao et al. 2020",
    )
