"""SZ410."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.landscape import StepFact
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace


@rule("SZ410", "first-step-rise", tier=2, needs=("first_step",), limits=("first_step_rise", "first_step_floor"))
def first_step_rise(trace: Trace, limits: Limits) -> Verdict:
    """The first step of the optimizer throws the loss up.

    What it finds
    -------------
    One real step of the optimizer that was told, with its groups and its first learning rate, on a copy of the model;
    then the loss on the same batch, with the same random numbers. A warning when it is more than twice as large and
    more than a tenth of a blind guess's loss is added, an error when it is no longer finite. Where the loss rises, the
    parameters that move most step alone, and the one that raises it most is named.

    Why it matters
    --------------
    A step along the gradient lowers the loss unless it is too long. One that doubles it has left the region where the
    gradient means anything: what was initialised is thrown away for a place that chance chose.

    When it is fine
    ---------------
    Training may recover, hence a warning. Under a warm-up the first rate counts, and an optimizer whose schedule was
    made has it already. Without an optimizer and a rate, without a loss, and for a loss that is not positive the rule
    is silent. Clipping of gradients is not known here.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 4))
        return model, torch.randn(64, 32), lambda output: (output - 1).square().sum(1).mean()

    def optimizer(model):
        return torch.optim.SGD(model.parameters(), lr=0.3)

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 4))
        return model, torch.randn(64, 32), lambda output: (output - 1).square().sum(1).mean()

    def optimizer(model):
        return torch.optim.SGD(model.parameters(), lr=0.01)

    Fix
    ---
    Lower the first learning rate or warm it up; when one tensor is to blame, give it a rate of its own, or draw it by
    its law.

    References
    ----------
    LeCun et al. 1998, section 4.7; Karpathy 2019.
    """
    step = trace.first_step
    if not step.ran:
        if step.reason:
            yield NotJudged(step.reason)
        return
    if not math.isfinite(step.before):
        return
    if not math.isfinite(step.after):
        yield _finding(step, limits)
    elif step.before <= 0.0:
        yield NotJudged(f"the loss is {step.before:.3g}: a factor says nothing of one that is not positive")
    elif _rises(trace, step, limits):
        yield _finding(step, limits)


def _rises(trace: Trace, step: StepFact, limits: Limits) -> bool:
    floor = limits.first_step_floor * (trace.loss.reference or 0.0)
    return step.after > limits.first_step_rise * step.before and step.after - step.before > floor


def _finding(step: StepFact, limits: Limits) -> Finding:
    is_finite, factor = math.isfinite(step.after), step.after / step.before
    worst, alone = step.alone[0] if step.alone else ("", step.after)
    what = f"from {step.before:.3g} to {step.after:.3g}" + (f", {factor:.3g} times" if is_finite else "")
    blame = f"; the step of {worst} alone makes it {alone:.3g}" if worst else ""
    return Finding(
        code="SZ410",
        name="first-step-rise",
        severity="warning" if is_finite else "error",
        where=(worst,),
        message=(
            f"the first step of {step.optimizer or 'SGD'} at {step.lr:g} takes the loss {what} "
            f"(limit {limits.first_step_rise:g}){blame}"
        ),
        value=factor,
        limit=limits.first_step_rise,
        unit="loss after over before",
        evidence="wake-up",
        fix=Fix("lower the first learning rate, or warm it up", worst),
        citation="Karpathy 2019",
    )
