"""SZ203."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.symmetry import UnitBlock
from stepzero.core.trace import Trace
from stepzero.measure import blocks


@rule("SZ203", "equal-rows", tier=1, needs=("symmetry",), limits=("rows_rank_share",))
def equal_rows(trace: Trace, limits: Limits) -> Verdict:
    """Units start as copies and part at the first step, but only in a few directions.

    What it finds
    -------------
    Groups of units with equal rows and biases whose gradients differ. The number told is the rank of the group's
    first update: the directions in which its rows can part at once.

    Why it matters
    --------------
    After one step all rows of the group lie in the common row plus that many directions. With one output there is one
    direction, so the layer starts as little more than one unit; with as many directions as units it recovers at once.

    This is half of a symmetry. Equal rows and biases give equal responses, equal columns give equal errors, and only
    both together make copies for ever (SZ201). Random outgoing weights therefore save constant incoming ones, but only
    as far as they have directions to offer; a bias of its own for each unit parts the responses as well.

    When it is fine
    ---------------
    Zero rows of a head, a residual branch or an adapter are a start of their own kind, told by SZ403. Groups with half
    as many directions as units or more are a note. Units with one input, and a single unit, are not looked at.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        with torch.no_grad():
            model[0].weight.copy_(model[0].weight[:1].expand(16, 8))
            model[0].bias.zero_()
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        nn.init.zeros_(model[0].bias)
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    Redraw the rows by the layer's law.

    References
    ----------
    Section 1.6 of the project's theory notes; HomericIntelligence/Mnemosyne#1987.
    """
    constant = {fact.name for fact in trace.parameters if fact.is_constant}
    fans = {use.parameter: use.fan_in for operation in trace.weighted() for use in operation.uses}
    found = (block for block in blocks.of_level(trace, "rows") if not block.is_zero and block.rank is not None)
    for name, members in blocks.by_weight(found).items():
        if name in constant or (fans.get(name) or 2) <= 1:
            continue
        block = min(members, key=_share)
        yield Finding(
            code="SZ203",
            name="equal-rows",
            severity="warning" if _share(block) < limits.rows_rank_share else "info",
            where=(name,),
            message=(
                f"{block.size} of {blocks.num_units(trace, name)} units of {name} start with equal rows "
                f"({blocks.words(members)}) and part at the first step in {block.rank} direction"
                f"{'' if block.rank == 1 else 's'}, {_share(block):.2g} of the group (limit {limits.rows_rank_share:g})"
            ),
            value=_share(block),
            limit=limits.rows_rank_share,
            unit="directions a unit",
            evidence="gradient",
            cause="constant-fill",
            fix=Fix("redraw the rows", name, "law", is_safe=True),
            citation="project theory notes, 1.6",
        )


def _share(block: UnitBlock) -> float:
    return (block.rank or 0) / block.size
