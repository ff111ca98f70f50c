"""SZ502."""

from stepzero.core.control import Range
from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.heads import Head, head_of, num_targets


@rule(
    "SZ502",
    "one-class-start",
    tier=2,
    needs=("control",),
    limits=("winner_share", "winner_sure", "winner_control", "winner_bias", "winner_min_classes", "winner_min_samples"),
)
def one_class_start(trace: Trace, limits: Limits) -> Verdict:
    """Before it has learned anything, the network puts nearly every sample into one class.

    What it finds
    -------------
    One class wins more than 95 % of the samples, with a mean probability above 5/K of K classes, where networks of the
    same shape drawn by law give the commonest class at most half of them. A note when a bias of the head prefers that
    class, which may be meant.

    Why it matters
    --------------
    What is common to all samples is louder than what tells them apart. The first steps move the offset of the logits
    and little else, and rare classes start from a probability near zero.

    When it is fine
    ---------------
    Deep networks without norms put all samples into one class however they are drawn; the comparison takes that off. A
    head's bias at the logarithm of the class frequencies is a sound start, hence the note. With fewer than 6 classes
    no probability reaches 5/K; with fewer than 8 samples all of them can fall into one class by chance.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(1)
        model, labels = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 10)), torch.arange(64) % 10
        nn.init.constant_(model[0].bias, 6.0)
        nn.init.normal_(model[2].weight, std=0.1)
        return model, torch.randn(64, 16), lambda output: nn.functional.cross_entropy(output, labels)

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model, labels = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 10)), torch.arange(64) % 10
        return model, torch.randn(64, 16), lambda output: nn.functional.cross_entropy(output, labels)

    Fix
    ---
    Take the offset off the features (biases zero, inputs centred), or set the head's bias to the logarithm of the class
    frequencies.

    References
    ----------
    Karpathy 2019; LeCun et al. 1998, section 4.3.
    """
    loss = next((each for each in reversed(trace.operations) if each.kind == "loss"), None)
    usual = trace.control.output("top_share") if trace.control.ran else None
    if loss is None or usual is None or trace.control.own is None:
        return
    if (num_targets(trace, loss) or 0.0) < limits.winner_min_samples:
        return
    share, sure = trace.control.own.top_share, trace.control.own.confidence
    classes = loss.attributes.get("num_classes")
    if share is None or sure is None or not isinstance(classes, int) or classes < limits.winner_min_classes:
        return
    is_one_class = share > limits.winner_share and sure * classes > limits.winner_sure
    if is_one_class and usual.median <= limits.winner_control and not usual.holds(share):
        yield _finding(trace, loss, share, usual, limits)


def _finding(trace: Trace, loss: Operation, share: float, usual: Range, limits: Limits) -> Finding:
    head = head_of(trace, loss)
    is_meant = head is not None and _is_biased(trace, head, limits)
    words = ", which its bias prefers" if is_meant else ""
    return Finding(
        code="SZ502",
        name="one-class-start",
        severity="info" if is_meant else "warning",
        where=(head.use.parameter,) if head is not None else ("",),
        message=(
            f"one class wins {share:.0%} of the samples{words} (limit {limits.winner_share:.0%}), the commonest "
            f"{usual.median:.0%} when drawn by law (up to {usual.high:.0%})"
        ),
        value=share,
        limit=limits.winner_share,
        unit="share of samples",
        evidence="control",
        cause="bias-offset",
        fix=Fix("take the offset off the features, or set the head's bias to the class frequencies"),
        citation="Karpathy 2019",
        operation=loss.index,
    )


def _is_biased(trace: Trace, head: Head, limits: Limits) -> bool:
    """Whether the head's bias alone sets one class apart from the others."""
    names = {use.parameter for each in (head.operation, head.logits) for use in each.uses if use.slot == "bias"}
    for fact in trace.parameters:
        if fact.name in names and len(fact.values):
            values = sorted(fact.values)
            if values[-1] - sum(values) / len(values) > limits.winner_bias:
                return True
    return False
