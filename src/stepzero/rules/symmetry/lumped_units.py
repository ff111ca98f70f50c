"""SZ202."""

from stepzero.core.finding import Finding, Fix, lowered
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import blocks
from stepzero.measure.updates import breaks_sums


@rule("SZ202", "lumped-units", tier=1, needs=("symmetry",))
def lumped_units(trace: Trace, _: Limits) -> Verdict:
    """Units with different rows respond alike and get equal gradients, because their weights agree block by block.

    What it finds
    -------------
    Groups of units whose rows differ, so that no comparison of weights can find them, but whose weights have equal
    sums over the groups of the layer below and of the layer above. Their responses and gradients are equal on every
    input, and stay equal under virtual gradient steps.

    Why it matters
    --------------
    Gradient descent, momentum, Adam and AdamW keep the sums equal, so the units stay one unit in disguise. Equal
    biases within each group are part of the relation: a unit with a bias of its own leaves its group.

    So the rank of a matrix does not say whether its units differ. A matrix of full rank can hide lumped units, and a
    matrix of rank one can have rows that are all different. A vector of biases has rank one or none whatever it holds.
    What counts is how many different units there are, and responses and gradients together count them.

    All this holds in exact arithmetic: rounding tells such units apart by 1e-7 or less a step, and behind a norm, where
    small differences grow, a few hundred steps can part them.

    When it is fine
    ---------------
    Averaging and pooling written as fixed matrices have no gradient and are not looked at. Updates that are nonlinear
    in single weights (Adam with coupled weight decay, L1, weight clipping) part such units slowly: with one of these
    it is a warning.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2)).double()
        groups = torch.zeros(6, 6, dtype=torch.float64)
        groups[:3, :3] = groups[3:, 3:] = 1 / 3
        rest = torch.eye(6, dtype=torch.float64) - groups
        with torch.no_grad():  # equal sums over groups of three, and otherwise random
            model[0].weight.copy_(groups @ model[0].weight)
            model[0].bias.copy_(groups @ model[0].bias)
            middle = model[2].weight
            middle.copy_(groups @ middle @ groups + rest @ middle @ rest)
            model[2].bias.copy_(groups @ model[2].bias)
            model[4].weight.copy_(model[4].weight @ groups)
        return model, torch.randn(32, 5, dtype=torch.float64), lambda output: (output - 1).square().mean()

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2)).double()
        return model, torch.randn(32, 5, dtype=torch.float64), lambda output: (output - 1).square().mean()

    Fix
    ---
    Redraw the rows of the group by the layer's law.

    References
    ----------
    Theorem 2 of the project's theory notes; colour refinement: Grohe et al. 2014 (1307.5697).
    """
    for name, found in blocks.by_weight(blocks.of_level(trace, "lumped")).items():
        units, extra = blocks.num_units(trace, name), blocks.num_extra(found)
        noise = blocks.breaker(trace, name) or breaks_sums(trace)
        how = "every elementwise update" if found[0].confirmed == "elementwise" else "gradient descent and Adam"
        yield Finding(
            code="SZ202",
            name="lumped-units",
            severity=lowered("error") if noise else "error",
            where=(name,),
            message=(
                f"{name} has {units - extra} different units of {units}: {blocks.words(found)} have different rows but "
                f"respond alike and get equal gradients, which {how} keeps"
                + (f" until {noise} separates them" if noise else "")
            ),
            value=(units - extra) / units if units else None,
            limit=1.0,
            unit="effective width",
            evidence="wake-up",
            cause="copied-not-redrawn",
            fix=Fix("redraw the rows of each group", name, "law", is_safe=True),
            citation="project theory notes, theorem 2",
        )
