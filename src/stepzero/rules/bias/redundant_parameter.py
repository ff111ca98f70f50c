"""SZ603."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import sleepers
from stepzero.measure.cancelled import cancelled
from stepzero.measure.words import agree, listed


@rule("SZ603", "redundant-parameter", tier=1, needs=("wake",))
def redundant_parameter(trace: Trace, limits: Limits) -> Verdict:
    """A parameter is used and changes nothing, by algebra.

    What it finds
    -------------
    Trainable parameters that are used and whose redrawing leaves the output as it is: a bias in front of a norm that
    subtracts the mean, a key bias under a softmax. Either the graph says so and the terms of the gradient cancel, or
    the gradient is zero here and in the same network drawn by its laws, and redrawing was seen to change nothing.

    Why it matters
    --------------
    It costs a little memory and looks like a dead parameter in every gradient plot. It is no fault of the start. A
    warning are weights of a branch that is multiplied by a fixed zero, a frozen norm with a zero gain or a residual
    factor of 0: the branch never takes part, however long the model is trained.

    When it is fine
    ---------------
    Always but for such a branch, and there when the zero is replaced before training, as loaded weights do.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    expected = ("0.bias",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    Drop it (`bias=False`) when the architecture is yours to change.

    References
    ----------
    microsoft/unilm#510; huggingface/pytorch-image-models#357.
    """
    names = sleepers.redundant(trace) if trace.wake.ran else cancelled(trace, limits)
    if not names or trace.wake.output_is_constant:
        return
    if lost := sleepers.behind_zero(trace, names):
        yield _finding_of_lost(lost)
    names = tuple(name for name in names if name not in lost)
    if not names:
        return
    why = (
        "the gradient is 0 whatever the weights, and so is the effect on the output"
        if trace.wake.ran
        else "the norm or softmax behind takes an offset off again, and what arrives there cancels to rounding"
    )
    yield Finding(
        code="SZ603",
        name="redundant-parameter",
        severity="info",
        where=names,
        message=f"{listed(names, 'parameter')} {agree(names, 'are')} used and {agree(names, 'change')} nothing: {why}",
        value=0.0,
        limit=0.0,
        unit="gradient",
        evidence="control" if trace.wake.ran else "gradient",
        fix=Fix("drop it", names[0]),
        citation="microsoft/unilm#510",
    )


def _finding_of_lost(names: tuple[str, ...]) -> Finding:
    return Finding(
        code="SZ603",
        name="redundant-parameter",
        severity="warning",
        where=names,
        message=(
            f"what {listed(names, 'parameter')} {agree(names, 'do')} is multiplied by a fixed 0: nothing comes of it, "
            "and the gradient stays 0 for good"
        ),
        value=0.0,
        limit=0.0,
        unit="gradient",
        evidence="wake-up",
        cause="constant-by-construction",
        fix=Fix("give the factor a value, or train it", names[0]),
        citation="project theory notes, 1.5",
    )
