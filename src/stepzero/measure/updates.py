"""How far the first step of plain gradient descent moves a parameter, relative to its size."""

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
