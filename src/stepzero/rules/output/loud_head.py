"""SZ501."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.heads import Head, gain_backward, head_of, label_scatter, loss_per_target

_LOSSES = ("cross_entropy", "nll_loss")


@rule(
    "SZ501",
    "loud-head",
    tier=1,
    limits=(
        "loud_excess",
        "loud_excess_per_log_class",
        "loud_deviations",
        "loud_error_excess",
        "loud_error_gradient",
        "loud_lawful_gradient",
    ),
)
def loud_head(trace: Trace, limits: Limits) -> Verdict:
    """The first loss is far above that of a uniform guess: the logits are too large.

    What it finds
    -------------
    For each cross entropy over K classes, its value less ln K. A warning above half a nat or a tenth of ln K,
    whichever is more, and above what the labels of the batch do by chance. An error above 2 nats and ln K, when the
    head also sends a gradient into the backbone that is ten times what a head drawn by its fan in sends. Gaussian
    logits of standard deviation s cost about s^2 / 2.

    Why it matters
    --------------
    The network is confident before it knows anything. The first epochs only shrink the logits, and through a tied
    embedding or a loud head the backbone receives updates far larger than it was scaled for.

    When it is fine
    ---------------
    A head that follows its law, or is up to twice as wide, is a note below the level of an error: He's gain of sqrt(2)
    makes logits of 1.2 to 1.5 from features of unit size, and that trains as well as smaller ones. Label smoothing,
    soft targets and a mean over weighted classes have the same reference. Sums over weighted classes, sequence losses
    and similarities of two signals (contrastive losses) have one of their own and are not judged. Trained weights lie
    below the reference.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 256), nn.Tanh(), nn.Linear(256, 50))
        nn.init.normal_(model[2].weight, std=1.0)
        labels = torch.arange(64) % 50
        return model, torch.randn(64, 32), lambda output: nn.functional.cross_entropy(output, labels)

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 256), nn.Tanh(), nn.Linear(256, 50))
        labels = torch.arange(64) % 50
        return model, torch.randn(64, 32), lambda output: nn.functional.cross_entropy(output, labels)

    Fix
    ---
    Draw the head by its law or start it at zero; where it follows its law already, make what it reads smaller. When
    it is tied to an embedding, draw the embedding with standard deviation 1/sqrt(width) or divide the logits by
    sqrt(width).

    References
    ----------
    huggingface/transformers#26441; jsboige/CoursIA#13279; pytorch/pytorch#3121; Karpathy 2019.
    """
    for operation in trace.operations:
        head = head_of(trace, operation) if operation.name in _LOSSES else None
        per_target, classes = loss_per_target(operation), operation.attributes.get("num_classes")
        if head is None or per_target is None or not isinstance(classes, int) or classes < 2:
            continue
        excess = per_target - math.log(classes)
        limit = max(limits.loud_excess, limits.loud_excess_per_log_class * math.log(classes))
        if excess > limit + limits.loud_deviations * label_scatter(trace, operation):
            yield _finding(trace, operation, head, excess, limit, limits)


def _finding(trace: Trace, loss: Operation, head: Head, excess: float, limit: float, limits: Limits) -> Finding:
    gain, classes = gain_backward(trace, head), loss.attributes["num_classes"]
    assert isinstance(classes, int)
    reference = math.log(classes)
    is_far = excess > max(limits.loud_error_excess, reference)
    is_error = is_far and gain is not None and gain > limits.loud_error_gradient
    is_lawful = not is_far and gain is not None and gain <= limits.loud_lawful_gradient
    fact, spread = trace.parameter(head.use.parameter), loss.attributes.get("logit_std")
    said = f", logits have standard deviation {spread:.2g}" if isinstance(spread, float) else ""
    said += f" and the backbone receives {gain:.1f} times the gradient of a drawn head" if is_error else ""
    said += "; the head itself follows its law" if is_lawful else ""
    return Finding(
        code="SZ501",
        name="loud-head",
        severity="error" if is_error else "info" if is_lawful else "warning",
        where=(fact.name, *fact.aliases),
        message=(
            f"the loss is {excess + reference:.3g}, {excess:.2g} nats above ln {classes} = {reference:.3g} "
            f"(limit {limit:.2g}){said}"
        ),
        value=excess,
        limit=limit,
        unit="nats",
        evidence="gradient" if is_error else "value",
        fix=None if is_lawful else _fix(fact),
        citation="huggingface/transformers#26441",
        operation=head.operation.index,
    )


def _fix(fact: TensorFact) -> Fix:
    return Fix("draw the head by its law, or zero it", fact.name, "law", is_safe=not fact.aliases)
