"""SZ904."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace


@rule("SZ904", "future-leak", tier=2, needs=("isolate",))
def future_leak(trace: Trace, _: Limits) -> Verdict:
    """A model that is asked for the next token can see it.

    What it finds
    -------------
    Where the targets of the loss are the tokens of an input one place further on, the later half of these tokens is
    replaced, in evaluation mode and in float64. An error when results at earlier positions change. The first operation
    that shows it is named. There is no threshold beyond rounding. Only in a deep check.

    Why it matters
    --------------
    The answer is in the input, and the loss falls faster than that of any honest model. Nothing of it is left when the
    model has to generate.

    When it is fine
    ---------------
    Without that claim the rule is silent: encoders, masked tokens, labels that are the input itself. A causal mask,
    a causal convolution or a recurrence that runs forward lets nothing through.

    Bad
    ---
    import torch
    from torch import nn

    options = {"deep": True}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.block = nn.Embedding(20, 16), nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.head = nn.Linear(16, 20)

        def forward(self, ids):
            return self.head(self.block(self.table(ids)))

    def build():
        ids = torch.randint(20, (4, 13))
        labels = ids[:, 1:].flatten()
        return Net(), ids[:, :-1], lambda output: nn.functional.cross_entropy(output.flatten(0, 1), labels)

    expected = ("block.self_attn",)

    Good
    ----
    import torch
    from torch import nn

    options = {"deep": True}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.block = nn.Embedding(20, 16), nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.head = nn.Linear(16, 20)

        def forward(self, ids):
            mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
            return self.head(self.block(self.table(ids), src_mask=mask, is_causal=True))

    def build():
        ids = torch.randint(20, (4, 13))
        labels = ids[:, 1:].flatten()
        return Net(), ids[:, :-1], lambda output: nn.functional.cross_entropy(output.flatten(0, 1), labels)

    Fix
    ---
    Pass a causal mask (`is_causal=True`), pad convolutions on the left only, run recurrences in one direction.

    References
    ----------
    Karpathy 2019.
    """
    leak, claim = trace.isolate.future, trace.isolate.claim
    if leak is None:
        return
    first = f", first seen in {leak.operation}" if leak.operation else ""
    yield Finding(
        code="SZ904",
        name="future-leak",
        severity="error",
        where=(leak.module,),
        message=(
            f"the loss asks for the next token of {claim!r}, and replacing later tokens changes {leak.affected} of "
            f"{leak.of} earlier results, by up to {leak.change:.2g} of their size (limit 0){first}"
        ),
        value=leak.change,
        limit=0.0,
        unit="relative change",
        evidence="fact",
        fix=Fix("mask what lies ahead"),
        citation="Karpathy 2019",
    )
