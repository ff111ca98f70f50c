"""SZ701."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace
from stepzero.core.wake import DeadProduct
from stepzero.measure import sleepers
from stepzero.measure.words import enumerated


@rule("SZ701", "dead-product", tier=1, needs=("wake",))
def dead_product(trace: Trace, _: Limits) -> Verdict:
    """Factors that reach the output only through their product are zero together, and stay zero for ever.

    What it finds
    -------------
    Two or more zero factors of one product: both halves of a low-rank adapter, query and key, value and output, the
    two inputs of a gated layer, a zero gate on a branch whose last layer is zero, two zero layers in a row without a
    skip between them; also where one parameter holds both, as a packed projection holds the rows of query and key.
    Found by virtual steps that never wake them, and by redrawing one factor, which wakes the other.

    Why it matters
    --------------
    The gradient of each factor is multiplied by the other one. With one zero factor the zero moves first and wakes the
    rest; with two, both gradients are exactly zero, and no learning rate, weight decay or number of steps changes it.

    This is what zeros of different layers can do to each other. Copies are a matter of one layer: layers that start
    equal part at the first step, since each reads another signal. Weights of layers in a row are multiplied, and two
    zeros hold each other fast. Biases are added, never multiplied with another parameter of their own layer: they may
    all be zero as long as the weights are not.

    When it is fine
    ---------------
    One zero factor (adapter B alone, zero head, zero gate on a random branch) is a start that wakes: SZ403. Two zero
    layers with a skip around the first are fine too. Zero logits in a softmax are not a zero factor.

    Bad
    ---
    import torch
    from torch import nn

    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(8, 8).requires_grad_(False)
            self.down = nn.Parameter(torch.zeros(2, 8))
            self.up = nn.Parameter(torch.zeros(8, 2))

        def forward(self, x):
            return self.base(x) + x @ self.down.T @ self.up.T

    def build():
        torch.manual_seed(0)
        return Adapted(), torch.randn(16, 8), lambda output: (output - 1).square().mean()

    expected = ("down", "up")

    Good
    ----
    import torch
    from torch import nn

    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(8, 8).requires_grad_(False)
            self.down = nn.Parameter(torch.randn(2, 8) / 8**0.5)
            self.up = nn.Parameter(torch.zeros(8, 2))

        def forward(self, x):
            return self.base(x) + x @ self.down.T @ self.up.T

    def build():
        torch.manual_seed(0)
        return Adapted(), torch.randn(16, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    Redraw one of the factors by its law and keep the other zero: the start computes the same and can learn.

    References
    ----------
    Section 1.5 of the project's theory notes; Guitaricet/relora#18; NovaSky-AI/SkyRL#852; yz93/LAVT-RIS#25.
    """
    if trace.wake.reason and not trace.wake.ran:
        yield NotJudged(trace.wake.reason)
    for products in sleepers.products_alike(trace):
        yield _finding(trace, products)


def _finding(trace: Trace, products: list[DeadProduct]) -> Finding:
    first = products[0]
    names = " and ".join(_rows(each) for each in first.slices) if first.slices else enumerated(first.factors)
    names += f" of {first.factors[0]}" if first.slices else ""
    silenced = sum(len(product.silenced) for product in products)
    also = f"; {silenced} more parameters wait for them" if silenced else ""
    again = f"; so are {len(products) - 1} more products of the same roles" if len(products) > 1 else ""
    return Finding(
        code="SZ701",
        name="dead-product",
        severity="error",
        where=tuple(name for product in products for name in product.factors),
        message=(
            f"{names} are zero factors of one product: {first.num_zeros} zeros where at most 1 can move, and no "
            f"gradient in {trace.wake.steps} virtual steps{also}{again}"
        ),
        value=float(first.num_zeros),
        limit=1.0,
        unit="zero factors",
        evidence="wake-up",
        cause="zero-factor-pair",
        fix=Fix("redraw one factor, keep the other zero", first.factors[0], "law", is_safe=True),
        citation="project theory notes, 1.5",
    )


def _rows(slices: tuple[int, ...]) -> str:
    """'rows 0 to 11', 'row 3', or the ends of a set with gaps."""
    if len(slices) == 1:
        return f"row {slices[0]}"
    is_run = slices[-1] - slices[0] + 1 == len(slices)
    return f"rows {slices[0]} to {slices[-1]}" if is_run else f"{len(slices)} rows from {slices[0]} to {slices[-1]}"
