"""SZ405."""

from collections.abc import Iterator

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Graph, TensorFact, Trace
from stepzero.measure.modules import alike, topmost
from stepzero.measure.uses import readings


@rule("SZ405", "unused-parameter", tier=1)
def unused_parameter(trace: Trace, limits: Limits) -> Verdict:
    """A trainable parameter has no path to the loss.

    What it finds
    -------------
    Parameters that ask for a gradient and get none at all (None, not zero). A warning when no operation of the pass
    reads them; a note when they are read but what is computed from them does not reach this loss. Whole modules are
    one finding. There is no threshold.

    Why it matters
    --------------
    They take memory and optimizer state, decay under weight decay, stop distributed data parallel with an error, and
    often mean that a layer was built and then forgotten in `forward`.

    When it is fine
    ---------------
    Poolers, heads of other tasks and modalities that this batch did not feed are used by another call: ignore the
    finding there. Frozen parameters are not reported, and neither are parameters that are read on the way to the
    loss through an operation that cuts the gradient.

    Bad
    ---
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.forgotten = nn.Linear(8, 4), nn.Linear(8, 8)

        def forward(self, x):
            return self.used(x)

    def build():
        return Net(), torch.randn(16, 8)

    expected = ("forgotten",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
        model[0].requires_grad_(False)
        return model, torch.randn(16, 8)

    Fix
    ---
    Remove the parameter, call it, or freeze it with `requires_grad_(False)`.

    References
    ----------
    awaelchli/pytorch-lightning-snippets#1.
    """
    if trace.has_forward and not trace.has_backward:
        yield NotJudged("no gradient was taken")
    if not trace.has_backward:
        return
    trainable = [fact for fact in trace.parameters if fact.requires_grad]
    without = [fact for fact in trainable if fact.gradient is None]
    unread = [fact.name for fact in without if not fact.is_used]
    names = [fact.name for fact in trainable]
    yield from _findings(trace, topmost(unread, names), is_read=False)
    yield from _findings(trace, topmost(_aside(trace, without), names), is_read=True)


def _aside(trace: Trace, without: list[TensorFact]) -> list[str]:
    """Read, but by nothing that the loss is computed from."""
    if trace.loss.operation is None:
        return []
    behind, read = Graph(trace).upstream({trace.loss.operation}), readings(trace)
    return [
        fact.name
        for fact in without
        if fact.is_used and not any(operation.index in behind for operation, _ in read[fact.name])
    ]


def _findings(trace: Trace, groups: dict[str, list[str]], *, is_read: bool) -> Iterator[Finding]:
    for paths in alike(groups):
        members = [name for path in paths for name in groups[path]]
        what = paths[0] or trace.model
        if len(members) > 1:
            also = f" and {len(paths) - 1} alike" if len(paths) > 1 else ""
            what = f"{what}{also}: {len(members)} trainable parameters have"
        yield _finding(tuple(path or members[0] for path in paths), what, members, is_read=is_read)


def _finding(where: tuple[str, ...], what: str, members: list[str], *, is_read: bool) -> Finding:
    verb = "" if len(members) > 1 else " has"
    why = "its result does not reach this loss" if is_read else "no operation of this pass reads it"
    return Finding(
        code="SZ405",
        name="unused-parameter",
        severity="info" if is_read else "warning",
        where=where,
        message=f"{what}{verb} no gradient, and every trainable parameter should get one: {why}",
        value=float(len(members)),
        limit=0.0,
        unit="parameters",
        evidence="gradient",
        fix=Fix("freeze or remove it", members[0]),
        citation="awaelchli/pytorch-lightning-snippets#1",
    )
