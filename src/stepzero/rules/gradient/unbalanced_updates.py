"""SZ408."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.updates import Pace, is_adaptive, paces


@rule("SZ408", "unbalanced-updates", tier=2, limits=("pace_range", "pace_scale"))
def unbalanced_updates(trace: Trace, limits: Limits) -> Verdict:
    """A weight in front of a norm is so large that it hardly turns while the others learn.

    What it finds
    -------------
    For each weight the size of its gradient over its own, which is what one update moves at learning rate 1.
    Reported is a weight in front of a norm that moves a thousand times less than the fastest one, when it is more than
    ten times as large as its law: that alone slows it down by more than a hundred.

    Why it matters
    --------------
    A norm takes the scale of what it reads away, so nothing in the forward pass shows that a weight is s times too
    large. Its gradient is s times smaller for it, and the weight s times larger: each update turns it s^2 times less.
    The layer stays as it was drawn while the rest of the network trains around it.

    When it is fine
    ---------------
    Adaptive optimizers divide the gradient by its size, which leaves a factor s: a note. Weights smaller than their law
    move faster, grow by it and end where the others are. Without a norm the scale is felt in the signal, and other
    rules judge it. Constant factors in the forward pass (equalised learning rates), weights that are computed from
    others and frozen weights are not judged.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.normal_(model[0].weight, std=30.0)
        labels = torch.arange(64) % 4
        return model, torch.randn(64, 32), lambda output: nn.functional.cross_entropy(output, labels)

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.kaiming_normal_(model[0].weight)
        labels = torch.arange(64) % 4
        return model, torch.randn(64, 32), lambda output: nn.functional.cross_entropy(output, labels)

    Fix
    ---
    Draw the weight by its law; the function stays as random as it was.

    References
    ----------
    van Laarhoven 2017 (arXiv 1706.05350); Kraehenbuehl et al. 2016 (arXiv 1511.06856).
    """
    found = paces(trace)
    fastest = max(found, key=lambda pace: pace.value, default=None)
    for pace in found:
        if fastest and pace.scale > limits.pace_scale and fastest.value > limits.pace_range * pace.value:
            yield _finding(trace, pace, fastest, limits)


def _finding(trace: Trace, pace: Pace, fastest: Pace, limits: Limits) -> Finding:
    ratio, name = fastest.value / pace.value, pace.fact.name
    return Finding(
        code="SZ408",
        name="unbalanced-updates",
        severity="info" if is_adaptive(trace) else "warning",
        where=(name, *pace.fact.aliases),
        message=(
            f"{name} is {pace.scale:.3g} times as large as its law, in front of a norm that hides it, and an update "
            f"moves it {ratio:.3g} times less than {fastest.fact.name}, relative to its size (limit "
            f"{limits.pace_range:,g})"
        ),
        value=ratio,
        limit=limits.pace_range,
        unit="ratio of relative updates",
        evidence="gradient",
        cause="wrong-gain",
        fix=Fix("draw the weight by its law", name, "law", is_safe=not pace.fact.aliases),
        citation="van Laarhoven 2017",
        operation=pace.operation.index,
    )
