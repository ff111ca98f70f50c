"""SZ505."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import place_of

_SQUASHED = {"softmax": "probabilities", "gumbel_softmax": "probabilities", "sigmoid": "values between 0 and 1"}
_SQUASHED["hardsigmoid"] = _SQUASHED["sigmoid"]
_WANTS = {
    "cross_entropy": "logits",
    "binary_cross_entropy_with_logits": "logits",
    "nll_loss": "log-probabilities",
    "kl_div": "log-probabilities",
}
_UNBOUNDED = ("nll_loss",)
"""Losses that a raw linear result drives to minus infinity."""


@rule("SZ505", "double-activation", tier=1)
def double_activation(trace: Trace, limits: Limits) -> Verdict:
    """The loss applies a softmax or sigmoid of its own to values that went through one already.

    What it finds
    -------------
    A loss that wants logits (cross entropy, binary cross entropy with logits) right behind a softmax or sigmoid; a
    loss that wants log-probabilities (negative log likelihood, Kullback-Leibler) right behind a softmax, a sigmoid or
    a bare linear layer. Read off the graph: no threshold.

    Why it matters
    --------------
    Values between 0 and 1 differ by at most 1, so the second softmax never gets confident: with 10 classes the loss
    cannot fall below 1.46, and the gradient vanishes as the first softmax saturates. Negative log likelihood of raw
    values has no lower bound at all.

    When it is fine
    ---------------
    Losses that take probabilities (binary cross entropy), the log of a softmax, a log-softmax in front of a cross
    entropy (which changes nothing) and probabilities as *targets* are silent.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10), nn.Softmax(-1))
        labels = torch.arange(64) % 10
        return model, torch.randn(64, 32), lambda output: nn.functional.cross_entropy(output, labels)

    expected = ("3",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
        labels = torch.arange(64) % 10
        return model, torch.randn(64, 32), lambda output: nn.functional.cross_entropy(output, labels)

    Fix
    ---
    Drop the last activation of the model, and apply it only where probabilities are read.

    References
    ----------
    Schoop et al. 2021 (UMLAUT).
    """
    for loss in trace.operations:
        if loss.name in _WANTS and loss.inputs and (given := _given(trace, loss)) is not None:
            yield _finding(trace, loss, *given)


def _given(trace: Trace, loss: Operation) -> tuple[Operation, str] | None:
    """What the loss receives as predictions, when that is not what it wants."""
    source = trace.operations[loss.inputs[0]]
    while source.kind in ("view", "dropout") and len(source.inputs) == 1:
        source = trace.operations[source.inputs[0]]
    if not source.from_input:
        return None
    if source.name in _SQUASHED:
        return source, _SQUASHED[source.name]
    is_raw = loss.name in _UNBOUNDED and (source.kind == "weighted" or source.role == "bias")
    return (source, "raw values") if is_raw else None


def _floor(loss: Operation) -> float | None:
    """The lowest loss that values in [0, 1] allow."""
    classes = loss.attributes.get("num_classes")
    if loss.name != "cross_entropy" or not isinstance(classes, int) or classes < 2:
        return None
    return math.log(math.e + classes - 1) - 1.0


def _finding(trace: Trace, loss: Operation, source: Operation, given: str) -> Finding:
    floor = _floor(loss)
    effect = f", so it cannot fall below {floor:.3g}" if floor is not None else ""
    return Finding(
        code="SZ505",
        name="double-activation",
        severity="error",
        where=(source.module,) if source.module and source.kind != "weighted" else place_of(trace, source),
        message=f"{loss.name} wants {_WANTS[loss.name]} and receives {given} from {source.name}{effect}",
        value=floor,
        unit="nats" if floor is not None else "",
        evidence="fact",
        fix=Fix("drop the last activation, or use the loss that takes its result"),
        citation="Schoop et al. 2021",
        operation=source.index,
    )
