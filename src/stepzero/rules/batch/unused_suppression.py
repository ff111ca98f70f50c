"""SZ906."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.suppression import SuppressionFact
from stepzero.core.trace import Trace


@rule("SZ906", "unused-suppression", tier=2, needs=("suppressions",))
def unused_suppression(trace: Trace, limits: Limits) -> Verdict:
    """A suppression that names a place hides nothing there.

    What it finds
    -------------
    Every comment `# stepzero: ignore[SZ401] reason` beside a line that created a module or a parameter, and every
    entry of `per-module-ignores` whose pattern meets the model, is compared with what it hid in this check. It is
    unused when that is nothing, when it names no rule that exists, and when a finding also names places that nothing
    covers, since a suppression holds only for a finding all of whose places are covered. Rules that were not asked,
    because of `--select`, say nothing about the suppression.

    Why it matters
    --------------
    A suppression outlives the reason for it. The one that is left behind hides the next fault at the same place, which
    nobody has looked at.

    When it is fine
    ---------------
    A line that creates modules of several models, of which only some need it. `ignore`, which holds everywhere, is
    written for more than one model and never noted.

    Bad
    ---
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 4)  # stepzero: ignore[SZ101] the file it was loaded from had a NaN

        def forward(self, x):
            return self.fc(x)

    def build():
        return Net(), torch.randn(16, 8)

    options = {"select": ["SZ101", "SZ906"]}
    expected = ["fc"]

    Good
    ----
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 4)  # stepzero: ignore[SZ206] filled by the loader, after this check
            nn.init.constant_(self.fc.weight, 0.5)

        def forward(self, x):
            return self.fc(x)

    def build():
        return Net(), torch.randn(16, 8)

    options = {"select": ["SZ206", "SZ906"]}

    Fix
    ---
    Remove the comment or the entry; write the code it was meant for when the name is wrong.

    References
    ----------
    Linters report suppressions that suppress nothing for the same reason: astral-sh/ruff RUF100, python/mypy
    `warn_unused_ignores`.
    """
    for fact in trace.suppressions:
        why = _why(fact)
        if why and (fact.where or fact.problem):
            yield Finding(
                "SZ906",
                "unused-suppression",
                "info",
                fact.where,
                f"the suppression at {fact.origin} {why}",
                value=float(fact.hidden),
                unit="findings hidden",
                evidence="fact",
                source_line=fact.origin if ":" in fact.origin else None,
                fix=Fix(f"remove the suppression at {fact.origin}"),
                citation="astral-sh/ruff RUF100",
            )


def _why(fact: SuppressionFact) -> str:
    """Why it hides nothing; '' when it does, or when its rules were not asked."""
    if fact.problem:
        return f"hides nothing: {fact.problem}"
    if fact.hidden or not fact.codes:
        return ""
    if fact.partly:
        return f"hides nothing: the finding also names {', '.join(fact.partly[:3])}, which no suppression covers"
    return f"hides nothing: {', '.join(fact.codes)} found nothing there, 0 findings hidden"
