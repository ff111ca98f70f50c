"""SZ805."""

from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import UNREADABLE, Trace
from stepzero.measure.words import agree, listed

_WORDS = {
    "sharded": "are split over processes, and this one sees its own part alone",
    "empty-shard": "hold no number here: their numbers are on another process, or nowhere",
}


@rule("SZ805", "unreadable-shard", tier=2)
def unreadable_shard(trace: Trace, _: Limits) -> Verdict:
    """A parameter is on other processes: what was said about it, or was not, means nothing.

    What it finds
    -------------
    Distributed tensors that are split over more than one process, flattened shards, and parameters of shape [0]. A
    note, and the check as a whole is incomplete (exit code 3). There is no threshold.

    Why it matters
    --------------
    Mean, spread and units of a part are not those of the whole, and of an empty part there are none. A check that read
    nothing must not end in "all good".

    When it is fine
    ---------------
    Distributed tensors that every process holds in full are read as they are. A layer that really has no inputs or no
    outputs has parameters without numbers, too: where the shape of a sibling says so, it is silent.

    Bad
    ---
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.shard = nn.Linear(8, 4), nn.Parameter(torch.zeros(0))

        def forward(self, x):
            return self.body(x)

    def build():
        return Net(), torch.randn(16, 8)

    expected = ("shard",)

    Good
    ----
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.nothing = nn.Linear(8, 4), nn.Linear(8, 0)

        def forward(self, x):
            return self.body(x)

    def build():
        return Net(), torch.randn(16, 8)

    Fix
    ---
    Check before sharding, or gather the parameters first (`full_tensor()`, `summon_full_params`, `GatheredParameters`).

    References
    ----------
    huggingface/transformers#22179.
    """
    for state in UNREADABLE:
        names = tuple(fact.name for fact in trace.parameters if fact.state == state)
        if names:
            word = agree(names, _WORDS[state].split(" ", 1)[0])
            yield Finding(
                code="SZ805",
                name="unreadable-shard",
                severity="info",
                where=names,
                message=f"{listed(names, 'parameter')} {word} {_WORDS[state].split(' ', 1)[1]}",
                value=float(len(names)),
                limit=0.0,
                unit="parameters",
                evidence="fact",
                citation="huggingface/transformers#22179",
            )
