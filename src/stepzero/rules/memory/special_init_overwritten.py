"""SZ109."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.provenance import Write
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.written import overwritten

_WORDS = {"values": "computed values", "constant": "a constant", "zeros": "zeros", "ones": "ones"}


@rule("SZ109", "special-init-overwritten", tier=2)
def special_init_overwritten(trace: Trace, _: Limits) -> Verdict:
    """A general initialiser replaced values that were meant.

    What it finds
    -------------
    While the factory runs, every in-place write into a parameter is recorded with the function that made it. Reported
    is a parameter whose last word is a general draw, or zeros in a vector, where another function had put something
    that no law says: computed values, a constant other than 0 and 1, zeros in a matrix, ones in a slice of a bias.
    Exact, no threshold; needs the factory.

    Why it matters
    --------------
    Step sizes of a state-space model, the bias of a forget gate, a prior, the zero that makes a branch the identity:
    a loop over all modules written later does not know them. The model trains, from another start than the code says.

    When it is fine
    ---------------
    A function that writes twice means its second write. Loading a state dict and drawing the head anew is fine-tuning.
    Copies of a drawn tensor that are drawn again are meant to differ. The special write last is how it should be.

    Bad
    ---
    import torch
    from torch import nn

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.value = nn.Linear(32, 32), nn.Linear(32, 32)
            nn.init.constant_(self.gate.bias, -3.0)

        def forward(self, x):
            return x + torch.sigmoid(self.gate(x)) * self.value(x)

    def general(module):
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)

    def build():
        model = nn.Sequential(Gated(), nn.Linear(32, 4))
        model.apply(general)
        return model, torch.randn(64, 32)

    expected = ("0.gate.bias",)

    Good
    ----
    import torch
    from torch import nn

    def general(module):
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.value = nn.Linear(32, 32), nn.Linear(32, 32)
            self.apply(general)
            nn.init.constant_(self.gate.bias, -3.0)

        def forward(self, x):
            return x + torch.sigmoid(self.gate(x)) * self.value(x)

    def build():
        return nn.Sequential(Gated(), nn.Linear(32, 4)), torch.randn(64, 32)

    Fix
    ---
    Run the general initialiser first, or let it leave out what is already set.

    References
    ----------
    athms/mad-lab#3; hustvl/Vim#19; yz93/LAVT-RIS#25.
    """
    facts = {fact.name: fact for fact in trace.parameters}
    for each in trace.writes.parameters:
        fact = facts.get(each.parameter)
        if fact is None or not fact.requires_grad:
            continue
        found = overwritten(each.writes, is_vector=len(fact.shape) < 2)
        if found is not None and _stands(fact, found[1]):
            yield _finding(fact, *found)


def _stands(fact: TensorFact, last: Write) -> bool:
    """Whether the tensor holds what the last write left: assigning a slice of data leaves no record."""
    return fact.is_zero if last.kind == "zeros" else not fact.is_constant


def _finding(fact: TensorFact, meant: Write, general: Write) -> Finding:
    part = "" if meant.is_whole else " in a part of it"
    drew = "zeros" if general.kind == "zeros" else "a draw"
    return Finding(
        code="SZ109",
        name="special-init-overwritten",
        severity="warning",
        where=(fact.name,),
        message=(
            f"{meant.writer} put {_WORDS[meant.kind]}{part} into {fact.name} ({meant.source_line}), and "
            f"{general.writer} replaced them by {drew} ({general.source_line})"
        ),
        evidence="fact",
        cause="overwritten",
        source_line=general.source_line,
        fix=Fix("write the special values after the general initialiser", fact.name),
        citation="athms/mad-lab#3",
    )
