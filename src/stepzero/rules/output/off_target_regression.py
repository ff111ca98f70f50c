"""SZ504."""

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.targets import Aim, place, regressions


@rule("SZ504", "off-target-regression", tier=2, limits=("regression_offset", "regression_spread", "regression_loss"))
def off_target_regression(trace: Trace, limits: Limits) -> Verdict:
    """The output of a regression starts far from its targets, measured by how much the targets vary.

    What it finds
    -------------
    Losses on a distance whose output has a mean more than three standard deviations of the targets from theirs, or a
    standard deviation more than three times theirs. A squared loss above three times the variance of the targets, which
    guessing their mean would cost once, is a note.

    Why it matters
    --------------
    The first updates only move and shrink the output. Their gradient is many times what the task itself sends, reaches
    all layers below, and fills the running averages of the optimizer.

    When it is fine
    ---------------
    Constant targets and targets that another part of the model computes are not judged. Targets in [0, 1] that hardly
    vary are rare positives, which a bias learns: a note. Raw targets are SZ902, and this is its consequence.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
        nn.init.normal_(model[2].weight, std=2.0)
        targets = torch.randn(64, 1)
        return model, torch.randn(64, 8), lambda output: nn.functional.mse_loss(output, targets)

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
        targets = torch.randn(64, 1)
        return model, torch.randn(64, 8), lambda output: nn.functional.mse_loss(output, targets)

    Fix
    ---
    Set the bias of the head to the mean of the targets, and draw its weight by its law times their deviation.

    References
    ----------
    Karpathy 2019; Unity-Technologies/ml-agents#4649.
    """
    for aim in regressions(trace):
        if aim.std == 0.0:
            yield NotJudged("the targets are constant")
            continue
        offset, spread = abs(aim.output_mean - aim.mean) / aim.std, aim.output_std / aim.std
        loss = (aim.output_std**2 + (aim.output_mean - aim.mean) ** 2) / aim.std**2 + 1
        severity: Severity = "info" if aim.is_share else "warning"
        if offset > limits.regression_offset:
            said = f"the output's mean is {offset:.3g} standard deviations of the targets from theirs"
            yield _finding(trace, aim, said, offset, limits.regression_offset, severity)
        elif spread > limits.regression_spread:
            said = f"the output varies {spread:.3g} times as much as the targets"
            yield _finding(trace, aim, said, spread, limits.regression_spread, severity)
        elif loss > limits.regression_loss and aim.loss.name == "mse_loss":
            said = f"the squared loss is {loss:.3g} times the variance of the targets"
            yield _finding(trace, aim, said, loss, limits.regression_loss, "info")


def _finding(trace: Trace, aim: Aim, said: str, value: float, limit: float, severity: Severity) -> Finding:
    return Finding(
        code="SZ504",
        name="off-target-regression",
        severity=severity,
        where=place(trace, aim.loss),
        message=f"{said} (limit {limit:g})",
        value=value,
        limit=limit,
        unit="of the targets' spread",
        evidence="value",
        cause="wrong-gain",
        fix=Fix("centre the head on the targets and give it their scale"),
        citation="Unity-Technologies/ml-agents#4649",
        operation=aim.loss.index,
    )
