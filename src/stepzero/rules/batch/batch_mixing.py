"""SZ903."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.isolation import IsolationFact, Leak
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace

_MEETS = frozenset(["weighted", "product", "attention"])
"""Kinds of operation in which the members of a set meet on purpose."""
_STATISTICS = frozenset(["batch_norm", "instance_norm"])


@rule("SZ903", "batch-mixing", tier=2, needs=("isolate",))
def batch_mixing(trace: Trace, _: Limits) -> Verdict:
    """One sample's result depends on the other samples of the batch.

    What it finds
    -------------
    In evaluation mode and in float64, one sample is replaced by another one of the batch. An error when results of
    other samples change, or when its own does not. The first operation that shows it is named. There is no threshold
    beyond rounding. Only in a deep check.

    Why it matters
    --------------
    A reshape in place of a transposition, a softmax or a mean along the wrong axis, or an attention that takes the
    batch for the sequence runs without a word, and even trains. What is learned holds for this batch size and this
    company, and the loss on single samples is not what it seemed.

    When it is fine
    ---------------
    A note where samples are compared on purpose: an output of one entry a pair of samples, statistics of the batch,
    attention or products among rows of a table (a set, the nodes of a graph). Batch norms in evaluation mode use the
    statistics they keep. An output without an axis of samples is not judged.

    Bad
    ---
    import torch
    from torch import nn

    options = {"deep": True}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

        def forward(self, x_BTD):
            hidden_BTD = torch.relu(self.first(x_BTD))
            hidden_TBD = hidden_BTD.view(hidden_BTD.shape[1], hidden_BTD.shape[0], -1)
            return self.second(hidden_TBD.mean(0))

    def build():
        return Net(), torch.randn(6, 5, 8), lambda output: output.square().mean()

    expected = ("",)

    Good
    ----
    import torch
    from torch import nn

    options = {"deep": True}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

        def forward(self, x_BTD):
            hidden_BTD = torch.relu(self.first(x_BTD))
            return self.second(hidden_BTD.transpose(0, 1).mean(0))

    def build():
        return Net(), torch.randn(6, 5, 8), lambda output: output.square().mean()

    Fix
    ---
    Look at the operation named: transpose or permute instead of view, the axis of a reduction, `batch_first`.

    References
    ----------
    awaelchli/pytorch-lightning-snippets#1; Karpathy 2019.
    """
    found = trace.isolate
    if not found.ran:
        if found.reason:
            yield NotJudged(found.reason)
        return
    if found.why_no_samples:
        yield NotJudged(found.why_no_samples)
    elif found.samples is not None:
        yield _finding(found, found.samples)
    elif found.is_deaf:
        yield _deaf()


def _is_meant(found: IsolationFact, leak: Leak) -> bool:
    is_set = found.is_set and leak.kind in _MEETS
    return found.is_contrast or found.is_linked or is_set or leak.operation in _STATISTICS


def _finding(found: IsolationFact, leak: Leak) -> Finding:
    is_meant = _is_meant(found, leak)
    first = f", first seen in {leak.operation}" if leak.operation else ""
    words = "; that is right where the samples are a set, a graph or compared" if is_meant else ""
    return Finding(
        code="SZ903",
        name="batch-mixing",
        severity="info" if is_meant else "error",
        where=(leak.module,),
        message=(
            f"replacing one sample changes the results of {leak.affected} of {leak.of} others, by up to "
            f"{leak.change:.2g} of their size (limit 0){first}{words}"
        ),
        value=leak.change,
        limit=0.0,
        unit="relative change",
        evidence="fact",
        fix=Fix("keep the batch axis apart: transpose instead of view, the axis of a reduction, batch_first"),
        citation="Karpathy 2019",
    )


def _deaf() -> Finding:
    return Finding(
        code="SZ903",
        name="batch-mixing",
        severity="error",
        where=("",),
        message="replacing a sample changes no result at all, its own included",
        value=0.0,
        limit=0.0,
        unit="relative change",
        evidence="fact",
        fix=Fix("find where the input is lost"),
        citation="Karpathy 2019",
    )
