"""SZ209."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import siblings
from stepzero.measure.words import enumerated


@rule("SZ209", "identical-layers", tier=2, needs=("symmetry",))
def identical_layers(trace: Trace, _: Limits) -> Verdict:
    """Layers that stand one behind another hold the same numbers.

    What it finds
    -------------
    Trainable weight matrices of one shape with equal content in different storage, which read different inputs: a
    layer deep-copied instead of built anew, or every layer drawn from one seed.

    Why it matters
    --------------
    There is no symmetry between layers, so they separate at the first step; but a product of equal matrices stretches
    and shrinks the same directions again and again, and the diversity of independent draws is lost.

    When it is fine
    ---------------
    Biases and norm parameters are equal by design. One module called several times is one tensor. Patterns of few
    values (identities, fixed kernels) and looked-up tables are not looked at. Copies without a gradient are targets.

    Bad
    ---
    import copy
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        block = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        model = nn.Sequential(block, copy.deepcopy(block), nn.Linear(8, 2))
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    expected = ("0.0.weight", "1.0.weight")

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        block = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        model = nn.Sequential(block, block, nn.Linear(8, 2))
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    Draw each layer anew after copying the structure.

    References
    ----------
    pytorch/pytorch#72253; netket/netket#241.
    """
    for paths, group in siblings.modules(siblings.in_series(trace)).items():
        listed = enumerated(paths)
        yield Finding(
            code="SZ209",
            name="identical-layers",
            severity="warning",
            where=group,
            message=f"{listed} hold the same numbers: {len(paths)} layers in series were drawn once",
            value=float(len(paths)),
            limit=1.0,
            unit="layers a draw",
            evidence="value",
            cause="copied-not-redrawn",
            fix=Fix("draw each layer anew", group[-1], "law", is_safe=True),
            citation="pytorch/pytorch#72253",
        )
