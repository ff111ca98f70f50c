"""SZ707."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.stream import Block, Stream, streams
from stepzero.measure.uses import live_inputs, place_of


@rule("SZ707", "broken-identity-start", tier=2, limits=("identity_blocks", "identity_share"))
def broken_identity_start(trace: Trace, limits: Limits) -> Verdict:
    """Most residual branches start at exactly zero, and some do not.

    What it finds
    -------------
    Residual streams in which more than half of the branches add exactly zero; named are those that add something.

    Why it matters
    --------------
    Where every branch starts at zero the network starts as the identity, whatever its depth, and learns to use its
    branches one after the other. A branch that was left out speaks alone from the first step. It happens when the
    code that zeroes the last factor chooses by a name or lives in another file.

    When it is fine
    ---------------
    A branch that is left out on purpose does no harm: hence a note. Where no branch, or a minority, starts at zero
    nothing is declared, and the rule is silent.

    Bad
    ---
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, is_zero):
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)
            if is_zero:
                nn.init.zeros_(self.down.weight)
                nn.init.zeros_(self.down.bias)

        def forward(self, x):
            return x + self.down(torch.relu(self.up(self.norm(x))))

    def build():
        blocks = [Block(number != 3) for number in range(6)]
        return nn.Sequential(*blocks, nn.Linear(32, 4)), torch.randn(16, 32)

    expected = ("3.down.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, is_zero):
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)
            if is_zero:
                nn.init.zeros_(self.down.weight)
                nn.init.zeros_(self.down.bias)

        def forward(self, x):
            return x + self.down(torch.relu(self.up(self.norm(x))))

    def build():
        blocks = [Block(True) for _ in range(6)]
        return nn.Sequential(*blocks, nn.Linear(32, 4)), torch.randn(16, 32)

    Fix
    ---
    Zero the last factor of these branches, weight and bias, as in the others.

    References
    ----------
    Peebles & Xie 2023 (adaLN-Zero); Zhang et al. 2019 (Fixup); SWivid/F5-TTS#793.
    """
    for stream in streams(trace):
        sizes = [(block, _size(trace, block.branch)) for block in stream.blocks]
        known = [(block, size) for block, size in sizes if size is not None]
        loud = [(block, size) for block, size in known if size > 0.0]
        is_meant = len(known) - len(loud) > limits.identity_share * len(known)
        if loud and is_meant and len(known) >= limits.identity_blocks:
            yield _finding(trace, stream, loud, len(known))


def _size(trace: Trace, operation: Operation) -> float | None:
    """Rms of a branch's result, through views."""
    while operation.forward is None and operation.kind in ("view", "dropout"):
        sources = live_inputs(trace, operation)
        if len(sources) != 1:
            return None
        operation = sources[0]
    return operation.forward.rms if operation.forward is not None else None


def _finding(trace: Trace, stream: Stream, loud: list[tuple[Block, float]], count: int) -> Finding:
    places = [place_of(trace, block.branch)[0] for block, _ in loud]
    largest = max(size for _, size in loud)
    return Finding(
        code="SZ707",
        name="broken-identity-start",
        severity="info",
        where=tuple(dict.fromkeys(places)),
        message=(
            f"{count - len(loud)} of {count} residual branches start at exactly 0, and this one adds a signal of rms "
            f"{largest:.2g}"
        ),
        value=largest,
        limit=0.0,
        unit="rms",
        evidence="value",
        cause="scheme-incomplete",
        fix=Fix("zero the last factor of the branch", places[0], "zeros", is_safe=False),
        citation="SWivid/F5-TTS#793",
        operation=stream.blocks[0].add.index,
    )
