"""What the first updates do: how far they move a parameter, and which symmetries they keep."""

from collections.abc import Iterable

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


def is_adaptive(trace: Trace) -> bool:
    """Whether the optimizer told divides an update by the gradient's own size."""
    return trace.optimizer.is_adaptive


def breaks_sums(trace: Trace) -> str:
    """Words for an update that is nonlinear in single weights, so that equal sums part; empty when none was told."""
    if trace.optimizer.is_adaptive and trace.optimizer.coupled_decay:
        return f"{trace.optimizer.name} with weight decay {trace.optimizer.coupled_decay:g} in the gradient"
    return ""
