"""SZ802."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.words import listed


@rule("SZ802", "diverged-replicas", tier=2, needs=("replicas",))
def diverged_replicas(trace: Trace, _: Limits) -> Verdict:
    """Ranks of a data-parallel run start from different weights.

    What it finds
    -------------
    Parameters of a model in `DistributedDataParallel` whose bits are not the same on every rank, or which some rank
    does not have. Exact, without a threshold. Every rank has to make the check; a rank that waits for another for a
    minute gives up and says so.

    Why it matters
    --------------
    Data-parallel training averages gradients, not weights. Replicas that start apart stay apart: each gets updates
    that were computed for another, and what is saved is one of them.

    When it is fine
    ---------------
    The wrapper copies rank 0's weights to all when it is made, so that only what was written afterwards can differ.
    Parameters it was told to leave alone, shards and experts of their own are not compared. Without the wrapper
    nothing claims that the ranks hold the same model, and the rule is silent.

    Bad
    ---
    import torch
    import torch.distributed as dist
    from torch import nn

    ranks = 2

    def build():
        model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(8, 4)))
        torch.manual_seed(dist.get_rank())
        nn.init.xavier_uniform_(model.module[0].weight)
        return model, torch.randn(16, 8)

    expected = ("0.weight",)

    Good
    ----
    import torch
    import torch.distributed as dist
    from torch import nn

    ranks = 2

    def build():
        torch.manual_seed(dist.get_rank())
        model = nn.Sequential(nn.Linear(8, 4))
        nn.init.xavier_uniform_(model[0].weight)
        return nn.parallel.DistributedDataParallel(model), torch.randn(16, 8)

    Fix
    ---
    Initialise before wrapping, or broadcast the parameters from rank 0 afterwards.

    References
    ----------
    allenai/OLMo-core#319.
    """
    found = trace.replicas
    if not found.ran:
        if found.reason:
            yield NotJudged(found.reason)
        return
    for names, words in ((found.diverged, "hold other bits"), (found.lonely, "are missing")):
        if names:
            yield Finding(
                code="SZ802",
                name="diverged-replicas",
                severity="error",
                where=names,
                message=f"{listed(names, 'parameter')} {words} on some of {found.ranks} ranks (limit 0 parameters)",
                value=float(len(names)),
                limit=0.0,
                unit="parameters",
                evidence="fact",
                fix=Fix("initialise before wrapping, or broadcast from rank 0", names[0]),
                citation="allenai/OLMo-core#319",
            )
