"""SZ506."""

from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import sleepers


@rule("SZ506", "constant-output", tier=1, needs=("wake",))
def constant_output(trace: Trace, _: Limits) -> Verdict:
    """The output is the same whatever the parameters are.

    What it finds
    -------------
    Networks whose output does not change when every parameter is redrawn: a softmax over one unit, a normalisation
    over one element, a weight divided by its own sum.

    Why it matters
    --------------
    The loss is a constant, every gradient is zero, and no data, start or optimizer can change that.

    When it is fine
    ---------------
    Never. A zero head gives a constant output too, but redrawing it changes the output: SZ403.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softmax(-1))
        return model, torch.randn(32, 8), lambda output: (output - 0.5).square().mean()

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        return model, torch.randn(32, 8), lambda output: (output - 0.5).square().mean()

    Fix
    ---
    Change the last map: a sigmoid for one unit, or two units for a softmax.

    References
    ----------
    davidmrau/mixture-of-experts#27; project theory notes.
    """
    names = sleepers.redundant(trace)
    if not trace.wake.output_is_constant or not names:
        return
    yield Finding(
        code="SZ506",
        name="constant-output",
        severity="error",
        where=names,
        message=(
            f"the output is the same when all {len(trace.parameters)} parameter tensors are redrawn, and the gradient "
            f"of {len(names)} of them is 0"
        ),
        value=0.0,
        limit=0.0,
        unit="change of the output",
        evidence="control",
        cause="constant-by-construction",
        citation="davidmrau/mixture-of-experts#27",
    )
