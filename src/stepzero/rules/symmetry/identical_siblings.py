"""SZ207."""

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import blocks, siblings
from stepzero.measure.words import enumerated


@rule("SZ207", "identical-siblings", tier=1, needs=("symmetry",))
def identical_siblings(trace: Trace, _: Limits) -> Verdict:
    """Modules that stand side by side hold the same numbers.

    What it finds
    -------------
    Weights in different storage that respond alike to one input: experts, ensemble members, twin critics, branches,
    shards that were seeded alike. An error when their gradients are equal too and virtual steps keep them so; a
    warning when the gradients differ, so that they separate by themselves.

    Why it matters
    --------------
    Copies that read one input and feed one loss alike get equal updates for ever: two critics are one, eight experts
    are one, and the memory and the time are spent for nothing.

    When it is fine
    ---------------
    A target network or teacher takes no gradient and is meant to be equal. Tied weights are one tensor. Experts copied
    on purpose under distinct router rows separate at the first step, which is the warning. Layers one behind another
    are SZ209.

    Bad
    ---
    import copy
    import torch
    from torch import nn

    class Critics(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
            self.second = copy.deepcopy(self.first)

        def forward(self, state):
            return torch.cat([self.first(state), self.second(state)], -1)

    def build():
        torch.manual_seed(0)
        return Critics(), torch.randn(32, 6), lambda output: (output - 1).square().mean()

    expected = ("first.0.weight", "second.0.weight")

    Good
    ----
    import copy
    import torch
    from torch import nn

    class Learner(nn.Module):
        def __init__(self):
            super().__init__()
            self.online = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
            self.target = copy.deepcopy(self.online).requires_grad_(False)

        def forward(self, state):
            return self.online(state) - 0.9 * self.target(state)

    def build():
        torch.manual_seed(0)
        return Learner(), torch.randn(32, 6), lambda output: (output - 1).square().mean()

    Fix
    ---
    Redraw all but one of them, each from its own random stream.

    References
    ----------
    laekov/fastmoe#4; hpcaitech/ColossalAI#251; EdanToledo/Stoix#72; modelscope/ms-swift#7944.
    """
    kept: set[str] = set()
    for paths, names in siblings.modules(blocks.across(blocks.of_level(trace, "twins", "lumped"))).items():
        kept.update(names)
        words = "hold copies of each other's units, which respond alike and get equal gradients, and stay so for ever"
        yield _finding(paths, names, "error", words)
    for paths, names in siblings.modules(siblings.side_by_side(trace)).items():
        if not kept.intersection(names):
            words = "hold the same numbers side by side, and only their gradients or inputs will tell them apart"
            yield _finding(paths, names, "warning", words)


def _finding(paths: tuple[str, ...], names: tuple[str, ...], severity: Severity, words: str) -> Finding:
    return Finding(
        code="SZ207",
        name="identical-siblings",
        severity=severity,
        where=names,
        message=f"{enumerated(paths)} {words}",
        value=float(len(paths)),
        limit=1.0,
        unit="copies",
        evidence="wake-up" if severity == "error" else "value",
        cause="same-seed" if severity == "error" else "copied-not-redrawn",
        fix=Fix("redraw all but one with streams of their own", names[-1], "law", is_safe=True),
        citation="laekov/fastmoe#4",
    )
