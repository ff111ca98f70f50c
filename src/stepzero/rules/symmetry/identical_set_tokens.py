"""SZ212."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.blocks import by_weight, num_extra, words


@rule("SZ212", "identical-set-tokens", tier=2, needs=("symmetry",), limits=("tokens_error_share",))
def identical_set_tokens(trace: Trace, limits: Limits) -> Verdict:
    """Learned tokens of an unordered set are equal, and stay one token for ever.

    What it finds
    -------------
    Equal rows of a learned table (queries, slots, prompts, registers) whose gradients are equal too, and which virtual
    steps leave equal: what reads them does not know their order, and nothing else tells them apart.

    Why it matters
    --------------
    Attention to a set is blind to the order of its members. Two equal members are read alike, answer alike and are
    updated alike for ever: a hundred queries filled with one value are one query.

    When it is fine
    ---------------
    A few equal rows among many are a warning. Equal contents with distinct positions added, and rows that stand at
    different places of a sequence, get different gradients. Zero tables that are added to a stream wake row by row.
    Looked-up tables are told apart by the data.

    Bad
    ---
    import torch
    from torch import nn

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.queries = nn.Parameter(torch.ones(4, 16))
            self.read = nn.MultiheadAttention(16, 2, batch_first=True)
            self.head = nn.Linear(16, 3)

        def forward(self, memory):
            queries = self.queries.expand(len(memory), -1, -1)
            return self.head(self.read(queries, memory, memory)[0].tanh().mean(1))

    def build():
        torch.manual_seed(0)
        return Reader(), torch.randn(8, 10, 16), lambda output: (output - 1).square().mean()

    expected = ("queries",)

    Good
    ----
    import torch
    from torch import nn

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.queries = nn.Parameter(torch.randn(4, 16))
            self.read = nn.MultiheadAttention(16, 2, batch_first=True)
            self.head = nn.Linear(16, 3)

        def forward(self, memory):
            queries = self.queries.expand(len(memory), -1, -1)
            return self.head(self.read(queries, memory, memory)[0].tanh().mean(1))

    def build():
        torch.manual_seed(0)
        return Reader(), torch.randn(8, 10, 16), lambda output: (output - 1).square().mean()

    Fix
    ---
    Draw each row of its own.

    References
    ----------
    facebookresearch/MaskFormer#33; invoke-ai/invoke-training#75.
    """
    for name, found in by_weight(trace.symmetry.tokens).items():
        shape = next((fact.shape for fact in trace.parameters if fact.name == name), ())
        total, extra = math.prod(shape[:-1]), num_extra(found)
        yield Finding(
            code="SZ212",
            name="identical-set-tokens",
            severity="error" if extra >= limits.tokens_error_share * total else "warning",
            where=(name,),
            message=(
                f"{name} holds {total - extra} different tokens of {total}: {words(found).replace('units', 'rows')} "
                "are read alike and get equal gradients, and stay copies for ever"
            ),
            value=(total - extra) / total if total else None,
            limit=1.0,
            unit="share of tokens that differ",
            evidence="wake-up",
            cause="constant-fill",
            fix=Fix("draw each row of its own", name, "law", is_safe=True),
            citation="facebookresearch/MaskFormer#33",
        )
