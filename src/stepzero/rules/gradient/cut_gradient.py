"""SZ406."""

from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import sleepers
from stepzero.measure.words import agree, listed


@rule("SZ406", "cut-gradient", tier=1, needs=("wake",))
def cut_gradient(trace: Trace, _: Limits) -> Verdict:
    """A parameter changes the output, but no derivative leads back to it.

    What it finds
    -------------
    Trainable parameters whose gradient is zero or missing here *and* in the same network drawn by its laws, although
    redrawing them changes the output: behind detach, argmax, rounding, sampling without reparameterisation, or a
    routing weight that is divided by itself.

    Why it matters
    --------------
    No start can help: the path of derivatives is missing, and the parameter keeps its random value for ever.

    When it is fine
    ---------------
    Straight-through estimators have a gradient. Score-function estimators and hash routers learn in another way: give
    their loss, or freeze the parameter. Parameters that change nothing are SZ405 and SZ603.

    Bad
    ---
    import torch
    from torch import nn

    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(8, 4, bias=False)
            self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

        def forward(self, x):
            weight, chosen = self.router(x).softmax(-1).topk(1, -1)
            weight = weight / weight.sum(-1, keepdim=True)  # of one weight: always 1
            outputs = torch.stack([expert(x) for expert in self.experts], 1)
            return weight * outputs[torch.arange(len(x)), chosen[:, 0]]

    def build():
        torch.manual_seed(0)
        return Routed(), torch.randn(32, 8), lambda output: (output - 1).square().mean()

    expected = ("router.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(8, 4, bias=False)
            self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

        def forward(self, x):
            weight, chosen = self.router(x).softmax(-1).topk(1, -1)
            outputs = torch.stack([expert(x) for expert in self.experts], 1)
            return weight * outputs[torch.arange(len(x)), chosen[:, 0]]

    def build():
        torch.manual_seed(0)
        return Routed(), torch.randn(32, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    Keep a differentiable path: multiply by the router's raw probability, sample with `rsample`, drop the `detach`.

    References
    ----------
    jingyaogong/minimind#858; davidmrau/mixture-of-experts#27; lucidrains/slot-attention#4.
    """
    for names, last in sleepers.cut(trace):
        yield Finding(
            code="SZ406",
            name="cut-gradient",
            severity="error",
            where=names,
            message=(
                f"{listed(names, 'parameter')} {agree(names, 'change')} the output but {agree(names, 'get')} a "
                "gradient of 0, here and in the same network drawn by its laws"
                + (f"; it is last seen in {last}" if last else "")
            ),
            value=0.0,
            limit=0.0,
            unit="gradient",
            evidence="control",
            cause="cut-path",
            citation="jingyaogong/minimind#858",
        )
