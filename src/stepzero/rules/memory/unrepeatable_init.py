"""SZ105."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.words import enumerated


@rule("SZ105", "unrepeatable-init", tier=2, needs=("poison",))
def unrepeatable_init(trace: Trace, _: Limits) -> Verdict:
    """Building the model twice with one seed gives different values.

    What it finds
    -------------
    The factory is called again with every generator (torch, numpy, `random`) in the state of the first call. Reported
    are parameters and buffers that come out different, bit for bit, whatever memory held before. Needs the factory.
    Whether another seed gives other values is not asked: factories that seed themselves are common and meant.

    Why it matters
    --------------
    A run that cannot be repeated cannot be debugged, and replicas that build the model for themselves start apart.

    When it is fine
    ---------------
    Fixed tables and loaded weights repeat. Memory that nobody wrote is SZ102.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        own = torch.Generator()
        own.seed()
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.kaiming_normal_(model[0].weight, generator=own)
        return model, torch.randn(64, 32)

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        own = torch.Generator().manual_seed(7)
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.kaiming_normal_(model[0].weight, generator=own)
        return model, torch.randn(64, 32)

    Fix
    ---
    Draw from the global generator, or from one that is seeded.

    References
    ----------
    pytorch/torchtitan#3106.
    """
    if names := trace.poison.unrepeatable:
        yield Finding(
            code="SZ105",
            name="unrepeatable-init",
            severity="warning",
            where=names,
            message=(
                f"{enumerated(names)} came out different when the model was built again with the same seed: "
                f"{len(names)} tensors, and none may"
            ),
            value=float(len(names)),
            limit=0.0,
            unit="tensors",
            evidence="fact",
            fix=Fix("draw from a seeded generator", names[0]),
            citation="pytorch/torchtitan#3106",
        )
