"""What the first updates do: how far they move a parameter, and which symmetries they keep."""

from collections.abc import Iterable

from stepzero.core.optimizer import OptimizerFact
from stepzero.core.trace import Trace


def extreme_updates(trace: Trace, names: Iterable[str], lr: float) -> tuple[float, float] | None:
    """(least, largest) of ``lr * rms(gradient) / rms(value)`` over the named parameters that have both."""
    wanted = set(names)
    updates = [
        lr * fact.gradient.rms / fact.rms
        for fact in trace.parameters
        if fact.name in wanted and fact.gradient is not None and fact.rms > 0.0
    ]
    return (min(updates), max(updates)) if updates else None


_OF_RATE = {
    **dict.fromkeys(["adam", "adamw", "nadam", "adamax", "sparseadam", "adagrad", "rprop", "lion"], 1.0),
    "rmsprop": 10.0,
}
"""Size of the first update in learning rates, where the gradient is divided by its own size: RMSprop's average starts
with a hundredth of it."""
_OF_GRADIENT = frozenset(["", "sgd", "asgd", "radam"])
"""Those whose first update is the learning rate times the gradient."""
_EPS = 1e-8


def first_update(optimizer: OptimizerFact, rate: float, gradient: float) -> float | None:
    """Rms of the first update at a gradient of the given rms; None where the optimizer's law is not known."""
    kind = optimizer.name.lower()
    if kind in _OF_GRADIENT:
        return rate * gradient
    if kind not in _OF_RATE:
        return None
    eps = optimizer.eps if optimizer.eps is not None else _EPS
    return rate * _OF_RATE[kind] * gradient / (gradient + eps)


def is_adaptive(trace: Trace) -> bool:
    """Whether the optimizer told divides an update by the gradient's own size."""
    return trace.optimizer.is_adaptive


def breaks_sums(trace: Trace) -> str:
    """Words for an update that is nonlinear in single weights, so that equal sums part; empty when none was told."""
    if trace.optimizer.is_adaptive and trace.optimizer.coupled_decay:
        return f"{trace.optimizer.name} with weight decay {trace.optimizer.coupled_decay:g} in the gradient"
    return ""
