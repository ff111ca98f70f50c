"""SZ309."""

from stepzero.core.coordinates import CoordinateCheck, Place
from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace

_PROFILE = "mup"


@rule(
    "SZ309",
    "width-slope",
    tier=3,
    status="preview",
    needs=("widths",),
    limits=("coordinate_slope",),
)
def width_slope(trace: Trace, limits: Limits) -> Verdict:
    """Activations, or what training does to them, grow or shrink with the width of the model.

    What it finds
    -------------
    A factory that takes a `width` is called at one, two and four times its own, each model is trained for three steps
    with the optimizer that was told (Adam at 1e-3 without one), and the rms of each result and of its changes is fitted
    by a power of the width. Reported where the exponent is beyond 0.25 up or down. A warning when `check` was told
    `profile="mup"`, else a note. Only in a deep check.

    Why it matters
    --------------
    A start that is right at one width explodes or stands still at another, and learning rates that were found on a
    small model do not carry over. Under the maximal update parametrisation every exponent is 0.

    When it is fine
    ---------------
    Usual starts change with the width under every optimizer with one rate for all: the note says by how much. The
    output may shrink at the start; only its changes count. A model that is never made wider does not care.

    Bad
    ---
    import torch
    from torch import nn

    options = {"deep": True, "profile": "mup"}
    X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))

    def build(width=64):
        model = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        return model, X, lambda output: (output - 1).square().mean()

    def optimizer(model):
        return torch.optim.Adam(model.parameters(), lr=0.01)

    expected = ("2",)

    Good
    ----
    import torch
    from torch import nn
    import stepzero

    options = {"deep": True, "profile": "mup"}
    X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))

    def net(width):
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def build(width=64):
        model = net(width)
        model.groups = stepzero.mup_(model, net(64), X, lr=0.01, seed=torch.initial_seed() % 1000)[1]
        return model, X, lambda output: (output - 1).square().mean()

    def optimizer(model):
        return torch.optim.Adam(model.groups)

    Fix
    ---
    Bring the model into the maximal update parametrisation (`stepzero.mup_`), rates of the optimizer included.

    References
    ----------
    Yang et al. 2022, arXiv 2203.03466.
    """
    found = trace.widths
    if not found.ran or found.check is None:
        if found.reason:
            yield NotJudged(found.reason)
        return
    for place in found.check.alarms[:1]:
        yield _finding(trace, found.check, place, limits)


def _finding(trace: Trace, check: CoordinateCheck, first: Place, limits: Limits) -> Finding:
    paths = {module.path for module in trace.modules}
    named = (place.name.partition(" ")[0] for place in check.alarms)
    where = tuple(dict.fromkeys(name if name in paths else "" for name in named))
    return Finding(
        code="SZ309",
        name="width-slope",
        severity="warning" if _PROFILE in trace.profiles else "info",
        where=where,
        message=f"{check.sentence} (limit {limits.coordinate_slope:g}, {check.optimizer})",
        value=first.decisive.value if first.decisive is not None else None,
        limit=limits.coordinate_slope,
        unit="exponent of the width",
        evidence="wake-up",
        fix=Fix("bring the model into the maximal update parametrisation"),
        citation="Yang et al. 2022",
    )
