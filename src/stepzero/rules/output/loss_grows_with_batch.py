"""SZ508."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import live_inputs

_PASSES = frozenset(["view", "add"])


@rule("SZ508", "loss-grows-with-batch", tier=3, limits=("weak_samples",))
def loss_grows_with_batch(trace: Trace, limits: Limits) -> Verdict:
    """The loss is a sum over the batch: twice the batch is twice the learning rate.

    What it finds
    -------------
    Losses that end in a sum over the samples, with nothing dividing it: a `.sum()` of everything in the loss function,
    or a loss of torch with `reduction="sum"`. Read off the graph, without a threshold, for two samples or more.

    Why it matters
    --------------
    The gradient grows with the batch. A learning rate that was found at one batch size is wrong at another, the last
    and smaller batch of an epoch counts for less, and clipping clips more.

    When it is fine
    ---------------
    Always a note: with one batch size for ever it is a matter of units, and bounds on a likelihood are often written
    so. A sum over features with a mean over samples is silent, and so is a sum that is divided by anything.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        labels = torch.arange(64) % 4
        loss = nn.CrossEntropyLoss(reduction="sum")
        return nn.Linear(8, 4), torch.randn(64, 8), lambda output: loss(output, labels)

    expected = ("",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        labels = torch.arange(64) % 4
        loss = nn.CrossEntropyLoss(reduction="sum")
        return nn.Linear(8, 4), torch.randn(64, 8), lambda output: loss(output, labels) / len(labels)

    Fix
    ---
    Take the mean over the samples, or divide by their number.

    References
    ----------
    Goyal et al. 2017, section 3 (gradient aggregation).
    """
    if trace.loss.operation is None or (trace.batch_size or 0) < limits.weak_samples:
        return
    for operation in _ends(trace, trace.operations[trace.loss.operation]):
        if _is_sum(trace, operation):
            yield Finding(
                code="SZ508",
                name="loss-grows-with-batch",
                severity="info",
                where=("",),
                message=(
                    f"the loss ends in a {operation.name} over all {trace.batch_size} samples that nothing divides: "
                    "twice the batch is twice the loss (limit 1)"
                ),
                value=2.0,
                limit=1.0,
                unit="loss of two batches over that of one",
                evidence="fact",
                fix=Fix("divide by the number of samples"),
                citation="Goyal et al. 2017",
                operation=operation.index,
            )
            return


def _ends(trace: Trace, last: Operation) -> list[Operation]:
    """What the loss consists of: the last operations behind views and sums of several terms."""
    found, stack = [], [last]
    while stack:
        operation = stack.pop()
        if operation.kind in _PASSES and operation.in_loss:
            stack.extend(live_inputs(trace, operation))
        else:
            found.append(operation)
    return found


def _is_sum(trace: Trace, operation: Operation) -> bool:
    """Whether it adds up all of a result that has the samples in front."""
    if not operation.in_loss or operation.shape:
        return False
    if operation.kind == "loss":
        return operation.attributes.get("reduction") == "sum"
    sources = live_inputs(trace, operation)
    return operation.name == "sum" and any(each.shape[:1] == (trace.batch_size,) for each in sources)
