"""SZ102."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.provenance import Unwritten
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace


@rule("SZ102", "unwritten-memory", tier=1, needs=("poison",))
def unwritten_memory(trace: Trace, limits: Limits) -> Verdict:
    """A parameter or buffer was allocated but never written.

    What it finds
    -------------
    The model is built again in memory filled with a mark (NaN, or the largest integer), and once more with another
    mark. What still carries the mark after the build was never written; what differs between the two builds was
    computed from memory that nobody wrote. A third build excludes factories that are simply not repeatable.

    Why it matters
    --------------
    `torch.empty` returns whatever was in memory: often zeros on a fresh machine, numbers of order 1e30 on a busy one.
    The same script trains on Monday and diverges on Tuesday.

    When it is fine
    ---------------
    Buffers that the first forward pass fills (caches) are left out. Parameters that a checkpoint will overwrite are
    still reported: load the checkpoint inside the factory.

    Bad
    ---
    import torch
    from torch import nn

    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.empty(8))
            self.linear = nn.Linear(8, 4)

        def forward(self, x):
            return self.linear(x * self.gain)

    def build():
        return Scale(), torch.randn(16, 8)

    expected = ("gain",)

    Good
    ----
    import torch
    from torch import nn

    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.empty(8))
            self.linear = nn.Linear(8, 4)
            nn.init.ones_(self.gain)

        def forward(self, x):
            return self.linear(x * self.gain)

    def build():
        return Scale(), torch.randn(16, 8)

    Fix
    ---
    Write the tensor where it is made: `nn.init.normal_`, `torch.zeros`, `torch.ones`. After `to_empty` every module
    must have its initialiser run, custom ones included.

    References
    ----------
    fla-org/flame#9; mosaicml/llm-foundry#1745; TransformerLensOrg/TransformerLens#518; ByteDance-Seed/VeOmni#163;
    huggingface/transformers#28298; pyg-team/pytorch_geometric#10203.
    """
    if not trace.poison.ran:
        yield NotJudged(trace.poison.reason)
    for module, rows in _by_module(trace.poison.unwritten).items():
        count, total = sum(row.num_unwritten for row in rows), sum(row.numel for row in rows)
        what = f"{count:,} of {total:,} elements were" if count else "the values were computed from memory that was"
        yield Finding(
            code="SZ102",
            name="unwritten-memory",
            severity="error",
            where=tuple(row.name for row in rows),
            message=f"{what} never written: {module or 'the model'} holds whatever was in memory; "
            "every element must be written",
            value=float(count),
            limit=0.0,
            unit="elements",
            evidence="fact",
            cause="never-written",
            fix=Fix("draw by the layer's law", rows[0].name, "law", is_safe=True),
            citation="fla-org/flame#9",
        )


def _by_module(rows: tuple[Unwritten, ...]) -> dict[str, list[Unwritten]]:
    modules: dict[str, list[Unwritten]] = {}
    for row in rows:
        modules.setdefault(row.name.rpartition(".")[0], []).append(row)
    return modules
