"""SZ308."""

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.stream import Stream, streams
from stepzero.measure.updates import extreme_updates


@rule(
    "SZ308",
    "residual-growth",
    tier=1,
    limits=(
        "growth_warning",
        "growth_error",
        "growth_gradient",
        "gradient_error_update",
        "gradient_error_update_high",
        "gradient_reference_lr",
    ),
)
def residual_growth(trace: Trace, limits: Limits) -> Verdict:
    """A residual stream without norms grows by orders of magnitude.

    What it finds
    -------------
    Runs of residual blocks whose branches hold no normalisation: rms of the stream behind the last block over rms in
    front of the first, above 100. An error above 1,000 when the gradient grows by more than 100 on its way back as
    well and the first updates are out of all bounds.

    Why it matters
    --------------
    A branch as loud as its stream multiplies the variance by two; over N blocks that is 2^N. Scaled by N^-1/2 the
    branches together add a factor e at most.

    When it is fine
    ---------------
    With a norm in the branch each block adds a fixed amount, and the stream grows like the square root of depth: a
    large ratio then only says that the embedding was small (0.02), and is a note. Branches that start at zero or
    scaled by depth, and streams that are normalised after each addition, are silent.

    Bad
    ---
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(32, 32), nn.Linear(32, 32)
            for layer in (self.a, self.b):
                nn.init.kaiming_normal_(layer.weight)

        def forward(self, x):
            return x + self.b(torch.relu(self.a(x)))

    def build():
        return nn.Sequential(*(Block() for _ in range(24)), nn.Linear(32, 4)), torch.randn(64, 32)

    expected = ("0.b.weight", "23.b.weight")

    Good
    ----
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(32, 32), nn.Linear(32, 32)
            nn.init.kaiming_normal_(self.a.weight)
            nn.init.normal_(self.b.weight, std=(32 * 24) ** -0.5)

        def forward(self, x):
            return x + self.b(torch.relu(self.a(x)))

    def build():
        return nn.Sequential(*(Block() for _ in range(24)), nn.Linear(32, 4)), torch.randn(64, 32)

    Fix
    ---
    Scale the last layer of each of N branches by N^-1/2, or start it at zero.

    References
    ----------
    Zhang et al. 2019 (Fixup); Yang & Schoenholz 2017.
    """
    for stream in streams(trace):
        growth = stream.growth
        if growth is not None and growth > limits.growth_warning and not _ends_in_norm(trace, stream):
            yield _finding(trace, stream, growth, limits)


def _severity(trace: Trace, stream: Stream, growth: float, limits: Limits) -> Severity:
    if stream.is_normalised:
        return "info"
    back = stream.gradient_growth
    updates = extreme_updates(trace, stream.last_weights(trace), limits.gradient_reference_lr)
    if growth <= limits.growth_error or back is None or back <= limits.growth_gradient or updates is None:
        return "warning"
    is_extreme = updates[0] < limits.gradient_error_update or updates[1] > limits.gradient_error_update_high
    return "error" if is_extreme else "warning"


def _ends_in_norm(trace: Trace, stream: Stream) -> bool:
    """Whether the one sum of the stream is read by norms alone: nothing grows on from block to block."""
    readers = [trace.operations[each] for each in Graph(trace).readers[stream.seen[-1].add.index]]
    return len(stream.blocks) == 1 and bool(readers) and all(reader.kind == "norm" for reader in readers)


def _finding(trace: Trace, stream: Stream, growth: float, limits: Limits) -> Finding:
    severity, seen, count = _severity(trace, stream, growth, limits), len(stream.seen), len(stream.blocks)
    kind = "with a norm in the branch" if stream.is_normalised else "without a norm in the branch"
    return Finding(
        code="SZ308",
        name="residual-growth",
        severity=severity,
        where=stream.last_weights(trace) or (stream.blocks[0].add.module or trace.model,),
        message=(
            f"the stream grows by a factor {growth:.3g} over {seen} residual blocks {kind} "
            f"({growth ** (1 / seen):.2g} a block); the limit is {limits.growth_warning:g}"
        ),
        value=growth,
        limit=limits.growth_warning,
        unit="ratio",
        evidence="gradient" if severity == "error" else "value",
        cause="" if stream.is_normalised else "wrong-gain",
        fix=Fix(
            f"scale the last layer of each branch by {count}^-1/2",
            scheme="depth",
            arguments={"factor": count**-0.5},
            is_safe=not stream.is_normalised,
        ),
        citation="Zhang et al. 2019 (Fixup)",
        operation=stream.seen[-1].add.index,
    )
