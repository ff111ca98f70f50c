"""SZ201."""

from stepzero.core.finding import Finding, Fix, lowered
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import attention_heads, blocks


@rule("SZ201", "twin-units", tier=1, needs=("symmetry",))
def twin_units(trace: Trace, _: Limits) -> Verdict:
    """Units of one layer are copies of each other, and stay copies for ever.

    What it finds
    -------------
    Groups of units (neurons, channels, rank indices, packed slices) that cannot be told apart: equal rows, equal
    responses on two batches, equal gradients for the loss and for random cotangents. The probe then takes virtual
    optimizer steps on a float64 copy, with a nonlinear update of every entry, and the copies are still equal.

    Why it matters
    --------------
    A swap of two such units changes nothing, so the gradient is the same for both, and so is every update: the same
    data, loss, batch order, learning rate, momentum, Adam, weight decay or clipping treats them alike for ever. The
    layer has as many different units as it has groups: all weights 0.01 is a network one unit wide.

    This is why biases may start at zero and weights may not. A unit is told apart by its row of weights, its bias and
    its column of outgoing weights, and one difference is enough. Random weights make every row different, so all
    biases may be equal; zero is the neutral value, and the biases part at the first step, because the errors of the
    units differ already. Zero or constant *weights* with equal biases leave nothing that tells the units apart. The
    opposite, zero weights and random biases, does tell them apart, and is slow and fragile instead: SZ404.

    When it is fine
    ---------------
    A zero head, a zero last layer of a branch and a zero adapter factor have equal rows but different gradients: they
    separate at the first step. Dropout on the units themselves breaks copies by noise, and lowers this to a warning.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        with torch.no_grad():  # widened by copying: incoming weights repeated, outgoing ones halved
            model[0].weight[8:] = model[0].weight[:8]
            model[0].bias[8:] = model[0].bias[:8]
            model[2].weight[:, 8:] = model[2].weight[:, :8]
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        nn.init.zeros_(model[0].bias)
        nn.init.zeros_(model[2].weight)
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    Redraw all but one unit of each group by the layer's law; in a grown or loaded network add noise of a hundredth of
    the weights' scale.

    References
    ----------
    LeCun et al. 1998, section 4.6; Chen et al. 2023 (2306.04251); Ziyin 2024 (2309.16932); srenevey/neuro#4;
    soumith/net2net.torch#3.
    """
    if not trace.symmetry.ran and trace.symmetry.reason:
        yield NotJudged(trace.symmetry.reason)
    constant = {fact.name for fact in trace.parameters if fact.is_constant and not fact.is_zero}
    tokens = blocks.by_weight(trace.symmetry.tokens)  # SZ212 speaks of these
    for name, found in blocks.by_weight(blocks.of_level(trace, "twins")).items():
        if name in constant or name in tokens or attention_heads.head_groups(trace, name, found):
            continue
        units, extra = blocks.num_units(trace, name), blocks.num_extra(found)
        noise = blocks.breaker(trace, name)
        yield Finding(
            code="SZ201",
            name="twin-units",
            severity=lowered("error") if noise else "error",
            where=(name,),
            message=(
                f"{name} has {units - extra} different units of {units}: {blocks.words(found)} respond alike and get "
                f"equal gradients (they differ by {max(block.gap for block in found):.1g} of their size), "
                + (f"redundant until noise separates them ({noise})" if noise else "and stay copies for ever")
            ),
            value=(units - extra) / units if units else None,
            limit=1.0,
            unit="effective width",
            evidence="wake-up",
            cause="copied-not-redrawn",
            fix=Fix("redraw all but one unit of each group", name, "law", is_safe=True),
            citation="LeCun et al. 1998, section 4.6",
        )
