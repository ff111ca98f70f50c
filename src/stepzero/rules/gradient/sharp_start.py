"""SZ411."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace


@rule(
    "SZ411",
    "sharp-start",
    tier=3,
    status="preview",
    needs=("sharpness", "first_step"),
    limits=("sharp_step", "sharp_step_most"),
)
def sharp_start(trace: Trace, limits: Limits) -> Verdict:
    """The loss is so sharply curved that a step of this length overshoots.

    What it finds
    -------------
    Learning rate times the largest eigenvalue of the Hessian, by power iteration on a copy, each parameter with the
    rate of its group. A note above 2, where gradient descent on a quadratic overshoots by more than it came; a warning
    above 12 when the first step raises the loss, too. Only in a deep check, and for plain SGD.

    Why it matters
    --------------
    Above 2 the loss first rises, and training has to find a flatter place before it can go on. Between 2 and about 4,
    for networks with rectifiers up to 12, it usually does (the catapult); on a squared loss it diverges beyond.

    When it is fine
    ---------------
    A warm-up starts below and flattens the loss on its way, momentum moves the limit up, and a cross entropy may be
    sharp in a small neighbourhood only: a small vision transformer at a rate of 0.1 has 154, and its first step lowers
    the loss. Adaptive optimizers have another limit, which a single batch does not show; they are not judged.

    Bad
    ---
    import torch
    from torch import nn

    options = {"deep": True}

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 4))
        return model, torch.randn(64, 32), lambda output: (output - 1).square().mean()

    def optimizer(model):
        return torch.optim.SGD(model.parameters(), lr=30.0)

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    options = {"deep": True}

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 4))
        return model, torch.randn(64, 32), lambda output: (output - 1).square().mean()

    def optimizer(model):
        return torch.optim.SGD(model.parameters(), lr=0.1)

    Fix
    ---
    Lower the learning rate, or warm it up over some hundred steps.

    References
    ----------
    LeCun et al. 1998, section 5.3; Lewkowycz et al. 2020; Cohen et al. 2021; Dauphin & Schoenholz 2019.
    """
    found = trace.sharpness
    if not found.ran or found.value <= limits.sharp_step:
        return
    names = tuple(name for name, _ in found.parameters)
    rises = trace.first_step.ran and not trace.first_step.after <= trace.first_step.before
    is_beyond = rises and found.value > limits.sharp_step_most
    yield Finding(
        code="SZ411",
        name="sharp-start",
        severity="warning" if is_beyond else "info",
        where=names,
        message=(
            f"learning rate times curvature is {found.value:.3g} in the sharpest direction, "
            f"{found.parameters[0][1]:.0%} of it in {names[0]} (limit {limits.sharp_step:g})"
        ),
        value=found.value,
        limit=limits.sharp_step_most if is_beyond else limits.sharp_step,
        unit="learning rate x curvature",
        evidence="gradient",
        fix=Fix("lower the learning rate, or warm it up"),
        citation="Lewkowycz et al. 2020",
    )
