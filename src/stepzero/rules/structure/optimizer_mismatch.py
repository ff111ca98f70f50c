"""SZ704."""

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.limits import Limits
from stepzero.core.optimizer import GroupFact
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.modules import topmost
from stepzero.measure.words import enumerated


@rule("SZ704", "optimizer-mismatch", tier=2)
def optimizer_mismatch(trace: Trace, _: Limits) -> Verdict:
    """The optimizer does not hold what should be trained.

    What it finds
    -------------
    An error: nothing can be trained, because every parameter is frozen or none of the model's trainable ones is in any
    group of the optimizer. A warning: parameters that get a gradient and are in no group, or that are listed twice. A
    note: frozen parameters in a group. There is no threshold.

    Why it matters
    --------------
    An optimizer moves what it was given when it was made. A head that was exchanged afterwards, a part that was added
    or a model that was built again stays at its start for ever, while the loss falls as far as the rest can bring it.
    What is listed twice moves twice as far.

    When it is fine
    ---------------
    Frozen parameters outside every group and parameters that this loss does not reach are silent, and so are wider
    copies that mixed precision steps in the model's place. Two optimizers for two parts: check each with its own loss.
    Without an optimizer, only a model that is frozen as a whole is said.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        return model, torch.randn(32, 8), lambda output: output.square().mean()

    def optimizer(model):
        return torch.optim.SGD(model[0].parameters(), lr=0.1)

    expected = ("2.weight", "2.bias")

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        model[0].requires_grad_(False)
        return model, torch.randn(32, 8), lambda output: output.square().mean()

    def optimizer(model):
        return torch.optim.SGD(model[2].parameters(), lr=0.1)

    Fix
    ---
    Make the optimizer after the model is complete, from `model.parameters()` or from groups that cover them.

    References
    ----------
    awaelchli/pytorch-lightning-snippets#1.
    """
    trainable = [fact.name for fact in trace.parameters if fact.requires_grad]
    groups = trace.optimizer.groups
    if trace.parameters and not trainable and trace.optimizer.name:
        yield _finding("error", ("",), f"all {len(trace.parameters):,} parameters are frozen, so nothing can train")
    elif groups is not None and groups.are_masters:
        yield NotJudged(f"{trace.optimizer.name} holds wider copies of the model's parameters")
    elif groups is not None and groups.is_of_another_build:
        yield NotJudged("the optimizer was made for another model than the factory's: pass a function of the model")
    elif groups is not None:
        yield from _of_groups(trace, groups)


def _of_groups(trace: Trace, groups: GroupFact) -> Verdict:
    reached = [fact.name for fact in trace.parameters if fact.gradient is not None or not trace.has_backward]
    lost, name = [each for each in groups.missing if each in set(reached)], trace.optimizer.name
    if not groups.held:
        words = f"{name} holds {groups.foreign:,} tensors, and none of them is a parameter of this model"
        yield _finding("error", ("",), words)
    elif lost:
        places = topmost(lost, [fact.name for fact in trace.parameters])
        words = f"{len(lost)} parameters that get a gradient are in no group of {name}: {enumerated(tuple(places))}"
        yield _finding("warning", tuple(lost), words, float(len(lost)))
    if groups.twice:
        words = f"{enumerated(groups.twice)} is listed more than once in {name}, which moves it as often"
        yield _finding("warning", groups.twice, words, float(len(groups.twice)))
    if groups.idle:
        words = f"{len(groups.idle)} frozen parameters are in a group of {name}, which leaves them as they are"
        yield _finding("info", groups.idle, words, float(len(groups.idle)))


def _finding(severity: Severity, where: tuple[str, ...], message: str, value: float | None = None) -> Finding:
    return Finding(
        code="SZ704",
        name="optimizer-mismatch",
        severity=severity,
        where=where,
        message=message,
        value=value,
        limit=0.0,
        unit="parameters",
        evidence="fact",
        cause="frozen",
        fix=Fix("make the optimizer from the parameters of the finished model"),
        citation="awaelchli/pytorch-lightning-snippets#1",
    )
