"""SZ405."""

from collections.abc import Iterator

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.modules import alike, topmost
from stepzero.measure.routing import passed_over
from stepzero.measure.uses import readings

_ELSEWHERE = "no operation of this pass reads it, and code of forward that did not run does"


@rule("SZ405", "unused-parameter", tier=1)
def unused_parameter(trace: Trace, limits: Limits) -> Verdict:
    """A trainable parameter has no path to the loss.

    What it finds
    -------------
    Parameters that ask for a gradient and get none at all (None, not zero). A warning when no operation of the pass
    reads them and no code that `forward` can come to names them, or when the loss is computed from them but no
    derivative comes back (a detach, a no_grad block, a rounding or an index cuts the way). A note when what is
    computed from them does not reach this loss, when another call would read them (a modality, a task or a cache that
    this batch leaves out), or when a router sent the rows of this batch to other experts of the same build. Whole
    modules are one finding. There is no threshold.

    Why it matters
    --------------
    They take memory and optimizer state, decay under weight decay, stop distributed data parallel with an error, and
    often mean that a layer was built and then forgotten in `forward`.

    When it is fine
    ---------------
    Poolers, heads of other tasks and modalities that this batch did not feed are used by another call. Frozen
    parameters are not reported. Score-function estimators and codebooks moved by running averages live without a
    derivative: freeze them to say so.

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
    trainable = [fact for fact in trace.parameters if fact.requires_grad and fact.numel]
    cut_off = {each.parameter for each in trace.wake.parameters if each.cause == "cut"}  # SZ406 speaks of these
    without = [fact for fact in trainable if fact.gradient is None and fact.name not in cut_off]
    if not without:
        return
    unread = [fact.name for fact in without if not fact.is_used]
    names = [fact.name for fact in trainable]
    aside, cut = _read(trace, without)
    groups = topmost(unread, names)
    skipped, optional = passed_over(trace, groups), {fact.name for fact in without if fact.is_optional}
    idle = {path: members for path, members in groups.items() if path in skipped}
    other = {path: members for path, members in groups.items() if path not in idle and optional.issuperset(members)}
    missed = {path: members for path, members in groups.items() if path not in idle | other}
    yield from _findings(trace, missed, "no operation of this pass reads it", "warning")
    yield from _findings(trace, other, _ELSEWHERE, "info")
    yield from _findings(trace, idle, "the data chose the rows of its siblings, and none came here", "info")
    yield from _findings(trace, topmost(cut, names), "the loss is computed from it, but the way back is cut", "warning")
    yield from _findings(trace, topmost(aside, names), "its result does not reach this loss", "info")


def _read(trace: Trace, without: list[TensorFact]) -> tuple[list[str], list[str]]:
    """Read, by nothing that the loss is computed from; and read on the way to the loss, without a derivative."""
    if trace.loss.operation is None:
        return [], []
    behind, read = Graph(trace).upstream({trace.loss.operation}), readings(trace)
    used = [fact.name for fact in without if fact.is_used]
    cut = [name for name in used if any(operation.index in behind for operation, _ in read[name])]
    return [name for name in used if name not in cut], cut


def _findings(trace: Trace, groups: dict[str, list[str]], why: str, severity: Severity) -> Iterator[Finding]:
    for paths in alike(groups):
        members = [name for path in paths for name in groups[path]]
        what = paths[0] or trace.model
        if len(members) > 1:
            also = f" and {len(paths) - 1:,} alike" if len(paths) > 1 else ""
            what = f"{what}{also}: {len(members):,} trainable parameters have"
        yield _finding(tuple(path or members[0] for path in paths), what, members, why, severity)


def _finding(where: tuple[str, ...], what: str, members: list[str], why: str, severity: Severity) -> Finding:
    verb = "" if len(members) > 1 else " has"
    return Finding(
        code="SZ405",
        name="unused-parameter",
        severity=severity,
        where=where,
        message=f"{what}{verb} no gradient, and every trainable parameter should get one: {why}",
        value=float(len(members)),
        limit=0.0,
        unit="parameters",
        evidence="gradient",
        fix=Fix("freeze or remove it", members[0]),
        citation="awaelchli/pytorch-lightning-snippets#1",
    )
