"""SZ902."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.targets import Aim, binaries, place, regressions


@rule(
    "SZ902",
    "label-out-of-range",
    tier=2,
    limits=("target_std_low", "target_std_high", "target_offset", "target_min_samples"),
)
def label_out_of_range(trace: Trace, limits: Limits) -> Verdict:
    """A target is no class of the head, no probability, or a number on quite another scale than the output.

    What it finds
    -------------
    An error: class labels of a cross entropy that are negative or not below the number of classes, the ignored index
    apart; targets of a binary cross entropy outside [0, 1]. A warning: targets of a regression whose standard
    deviation is outside [0.05, 20], or whose mean is more than three of them from zero.

    Why it matters
    --------------
    A label outside the classes ends the run on a CPU and the whole process on a GPU; here it is counted and left out
    of the loss. Outside [0, 1] a binary cross entropy has no minimum: the logits grow for ever. Raw targets make the
    first updates of the head, and through it of everything below, as large as the targets.

    When it is fine
    ---------------
    Targets in [0, 1] and targets that another part of the model computes are not judged as numbers, nor is a batch that
    was made up. A head that was scaled and shifted to where its targets are is silent.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        labels = torch.arange(64) % 11
        return nn.Linear(8, 10), torch.randn(64, 8), lambda output: nn.functional.cross_entropy(output, labels)

    expected = ("weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        labels = torch.arange(64) % 11
        labels[labels == 10] = -100
        return nn.Linear(8, 10), torch.randn(64, 8), lambda output: nn.functional.cross_entropy(output, labels)

    Fix
    ---
    Count the classes again (labels from 1 to K, a label for "unlabelled", a mask of 0 and 255). Standardise the targets
    of a regression with the mean and standard deviation of the training data.

    References
    ----------
    LeCun et al. 1998, section 4.5; Karpathy 2019; pytorch/pytorch#1204.
    """
    for operation in trace.operations:
        count = operation.attributes.get("num_outside")
        if isinstance(count, float) and count > 0:
            yield _outside(trace, operation, int(count))
    for aim in binaries(trace):
        if not aim.is_share:
            yield _no_share(trace, aim)
    for aim in regressions(trace):
        yield from _raw(trace, aim, limits)


def _raw(trace: Trace, aim: Aim, limits: Limits) -> Verdict:
    if any(fact.is_stand_in for fact in trace.inputs):
        yield NotJudged("the batch is made up: it says nothing about the targets")
    elif aim.samples < limits.target_min_samples:
        yield NotJudged(f"{aim.samples} samples; a spread of targets needs {limits.target_min_samples:g}")
    elif aim.std > 0.0 and not aim.is_share and not _is_met(aim, limits):
        offset = abs(aim.mean) / aim.std
        if not limits.target_std_low <= aim.std <= limits.target_std_high:
            limit = limits.target_std_high if aim.std > limits.target_std_high else limits.target_std_low
            yield _off_scale(trace, aim, "standard deviation", aim.std, limit)
        elif offset > limits.target_offset:
            yield _off_scale(trace, aim, "distance of the mean from 0 in deviations", offset, limits.target_offset)


def _is_met(aim: Aim, limits: Limits) -> bool:
    """Whether the output already stands where the targets are: its own scale is the one they were brought to."""
    is_scaled = limits.target_std_low * aim.output_std <= aim.std <= limits.target_std_high * aim.output_std
    return is_scaled and abs(aim.mean - aim.output_mean) <= limits.target_offset * aim.std


def _outside(trace: Trace, loss: Operation, count: int) -> Finding:
    classes = loss.attributes.get("num_classes")
    words = f"{count} label is" if count == 1 else f"{count} labels are"
    return Finding(
        code="SZ902",
        name="label-out-of-range",
        severity="error",
        where=place(trace, loss),
        message=f"{words} outside the {classes} classes of the loss, where none may be",
        value=float(count),
        limit=0.0,
        unit="labels",
        evidence="fact",
        cause="raw-target",
        fix=Fix("give the head a class for every label, or the label the ignored index"),
        citation="pytorch/pytorch#1204",
        operation=loss.index,
    )


def _no_share(trace: Trace, aim: Aim) -> Finding:
    worst = aim.high if aim.high > 1.0 else aim.low
    return Finding(
        code="SZ902",
        name="label-out-of-range",
        severity="error",
        where=place(trace, aim.loss),
        message=f"targets of the binary cross entropy reach {worst:.3g}, outside [0, 1]: the loss has no minimum",
        value=worst,
        limit=1.0 if worst > 1.0 else 0.0,
        unit="probability",
        evidence="fact",
        cause="raw-target",
        fix=Fix("bring the targets to [0, 1]"),
        citation="Karpathy 2019",
        operation=aim.loss.index,
    )


def _off_scale(trace: Trace, aim: Aim, what: str, value: float, limit: float) -> Finding:
    return Finding(
        code="SZ902",
        name="label-out-of-range",
        severity="warning",
        where=place(trace, aim.loss),
        message=f"the targets' {what} is {value:.3g} (limit {limit:g}), and the output is not scaled to it",
        value=value,
        limit=limit,
        unit="standard deviation" if what.startswith("standard") else "deviations",
        evidence="value",
        cause="raw-target",
        fix=Fix("standardise the targets"),
        citation="LeCun et al. 1998",
        operation=aim.loss.index,
    )
