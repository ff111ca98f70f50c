"""SZ503."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.targets import Aim, binaries, place


@rule("SZ503", "head-ignores-base-rate", tier=2, limits=("base_rate", "base_rate_logits"))
def head_ignores_base_rate(trace: Trace, limits: Limits) -> Verdict:
    """A binary head starts near one half where positives are rare.

    What it finds
    -------------
    Binary cross entropies whose targets have a mean pi between 0 and 0.05, and whose mean logit is more than 2 from
    logit(pi) = ln(pi / (1 - pi)).

    Why it matters
    --------------
    The many negatives each send a gradient of one half, all in one direction. The first epoch only lowers the bias, and
    in dense detectors the sum of these gradients can make training diverge.

    When it is fine
    ---------------
    The head learns its bias sooner or later: a note, with the value that it would learn. A batch without positives says
    nothing about their rate. A bias set for a rate that this batch does not have may still be right for the data.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        labels = (torch.arange(200) % 100 == 0).float()[:, None]
        model = nn.Linear(8, 1)
        return model, torch.randn(200, 8), lambda output: nn.functional.binary_cross_entropy_with_logits(output, labels)

    expected = ("weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        labels = (torch.arange(200) % 100 == 0).float()[:, None]
        model = nn.Linear(8, 1)
        nn.init.constant_(model.bias, -4.6)
        return model, torch.randn(200, 8), lambda output: nn.functional.binary_cross_entropy_with_logits(output, labels)

    Fix
    ---
    Set the bias of the last layer, the one in front of the loss, to -ln((1 - pi) / pi).

    References
    ----------
    Lin et al. 2017 (focal loss), section 4.1; open-mmlab/mmdetection#1825; xingyizhou/CenterNet#826.
    """
    for aim in binaries(trace):
        logit = _logit(aim)
        if logit is None or not 0.0 < aim.mean < limits.base_rate or not aim.is_share:
            continue
        best = math.log(aim.mean / (1 - aim.mean))
        if abs(logit - best) > limits.base_rate_logits:
            yield _finding(trace, aim, logit - best, best, limits)


def _logit(aim: Aim) -> float | None:
    """Mean logit; where the loss reads probabilities, the logit of their mean."""
    if aim.loss.name == "binary_cross_entropy_with_logits":
        return aim.output_mean
    return math.log(aim.output_mean / (1 - aim.output_mean)) if 0.0 < aim.output_mean < 1.0 else None


def _finding(trace: Trace, aim: Aim, value: float, best: float, limits: Limits) -> Finding:
    where = place(trace, aim.loss)
    return Finding(
        code="SZ503",
        name="head-ignores-base-rate",
        severity="info",
        where=where,
        message=(
            f"positives are {aim.mean:.2g} of the targets, a logit of {best:.2g}, and the mean logit is "
            f"{abs(value):.2g} from it (limit {limits.base_rate_logits:g})"
        ),
        value=value,
        limit=limits.base_rate_logits,
        unit="logits",
        evidence="value",
        fix=Fix(f"set the bias of the last layer to {best:.2g}"),
        citation="Lin et al. 2017",
        operation=aim.loss.index,
    )
