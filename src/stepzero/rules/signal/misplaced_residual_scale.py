"""SZ317."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.branch_weights import Factored, factored
from stepzero.measure.stream import Stream, streams


@rule("SZ317", "misplaced-residual-scale", tier=2, limits=("factor_blocks", "factor_margin", "factor_share"))
def misplaced_residual_scale(trace: Trace, limits: Limits) -> Verdict:
    """The depth factor of a residual network sits on the wrong weights.

    What it finds
    -------------
    Residual streams of B branches in which some last weights are smaller than the others by 1/sqrt(B) or 1/sqrt(2 B)
    and other last weights are not, although one law explains all weights otherwise. Named are the last weights without
    the factor, and weights elsewhere in the branches that have it.

    Why it matters
    --------------
    The factor keeps the stream from growing with the depth: each branch adds the B-th part of the variance. A branch
    without it adds B times as much as the others and drowns them; a weight in the middle of a branch that carries it
    makes the branch quieter for no reason. It happens when weights are chosen by a part of their name.

    When it is fine
    ---------------
    A stack without any factor, or with it on all last weights (and, as some schemes have it, on the value path too), is
    silent. Weights that follow no common law are not judged: whether a factor is meant cannot be told.

    Bad
    ---
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, blocks):
            super().__init__()
            self.norm, self.up = nn.LayerNorm(64), nn.Linear(64, 128, bias=False)
            self.gate, self.down = nn.Linear(64, 128, bias=False), nn.Linear(128, 64, bias=False)
            self.mix, self.out = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
            for weight in self.parameters():
                if weight.dim() > 1:
                    nn.init.normal_(weight, std=0.1)
            for layer in (self.gate, self.out):  # meant: self.down
                nn.init.normal_(layer.weight, std=0.1 * (2 * blocks) ** -0.5)

        def forward(self, x):
            x = x + self.out(torch.tanh(self.mix(self.norm(x))))
            return x + self.down(nn.functional.silu(self.up(self.norm(x))) * self.gate(self.norm(x)))

    def build():
        return nn.Sequential(*(Block(8) for _ in range(8)), nn.Linear(64, 4)), torch.randn(32, 64)

    expected = ("0.down.weight", "7.down.weight", "0.gate.weight")

    Good
    ----
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, blocks):
            super().__init__()
            self.norm, self.up = nn.LayerNorm(64), nn.Linear(64, 128, bias=False)
            self.gate, self.down = nn.Linear(64, 128, bias=False), nn.Linear(128, 64, bias=False)
            self.mix, self.out = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
            for weight in self.parameters():
                if weight.dim() > 1:
                    nn.init.normal_(weight, std=0.1)
            for layer in (self.down, self.out):
                nn.init.normal_(layer.weight, std=0.1 * (2 * blocks) ** -0.5)

        def forward(self, x):
            x = x + self.out(torch.tanh(self.mix(self.norm(x))))
            return x + self.down(nn.functional.silu(self.up(self.norm(x))) * self.gate(self.norm(x)))

    def build():
        return nn.Sequential(*(Block(8) for _ in range(8)), nn.Linear(64, 4)), torch.randn(32, 64)

    Fix
    ---
    Draw the last weight of every branch with the factor and all other weights without it.

    References
    ----------
    Radford et al. 2019, section 2.3; karpathy/llama2.c#579; facebookresearch/xformers#219.
    """
    for stream in streams(trace):
        if len(stream.blocks) < limits.factor_blocks:
            continue
        found = factored(trace, stream, tolerance=limits.factor_margin)
        if found is not None and found.without and _is_meant(found, limits):
            yield _finding(found, stream)


def _is_meant(found: Factored, limits: Limits) -> bool:
    """Whether enough weights carry the factor to believe that somebody wanted it."""
    members, carriers = len(found.with_it) + len(found.without), len(found.with_it) + len(found.elsewhere)
    return carriers >= limits.factor_share * members


def _finding(found: Factored, stream: Stream) -> Finding:
    members = len(found.with_it) + len(found.without)
    others = f", and {len(found.elsewhere)} weights inside the branches have it" if found.elsewhere else ""
    return Finding(
        code="SZ317",
        name="misplaced-residual-scale",
        severity="warning",
        where=(*found.without, *found.elsewhere),
        message=(
            f"{len(found.without)} of {members} last weights of residual branches lack the factor {found.factor:.3g} "
            f"of {len(stream.blocks)} branches{others}; none should lack it"
        ),
        value=float(len(found.without)),
        limit=0.0,
        unit="weights",
        evidence="value",
        cause="scheme-incomplete",
        fix=Fix("draw these with the factor", found.without[0], "depth", {"factor": found.factor}, is_safe=False),
        citation="karpathy/llama2.c#579",
        operation=stream.blocks[0].add.index,
    )
