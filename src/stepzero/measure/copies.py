"""Are the units of one operation copies of each other? Read from the fingerprints of the first pass."""

from collections.abc import Sequence

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, Signal

_CARRIES = frozenset(["activation", "dropout"])
_CARRIES_AS = frozenset(["bias", "scale", "self-gate", "arithmetic"])


def are_equal(signal: Signal, tolerance: float) -> bool:
    """Whether all units have one response: every projection agrees within ``tolerance`` of the signal's rms."""
    if signal.nonfinite or not signal.units:
        return False
    values = signal.fingerprint.unpack()
    allowed = tolerance * signal.rms
    for start in range(0, len(values), signal.units):
        row = values[start : start + signal.units]
        if max(row) - min(row) > allowed:
            return False
    return len(values) > 0


def period(signal: Signal, tolerance: float, *, least: int) -> int | None:
    """Smallest p >= ``least`` with unit i a copy of unit i + p for all i; None without one.

    p divides the number of units, and the units inside one block are not copies of each other themselves.
    """
    if signal.nonfinite or not signal.rms:
        return None
    values, units, allowed = signal.fingerprint.unpack(), signal.units, tolerance * signal.rms
    for shift in range(least, units // 2 + 1):
        if units % shift == 0 and abs(values[0] - values[shift]) <= allowed:
            rows = [values[start : start + units] for start in range(0, len(values), units)]
            if all(_is_periodic(row, shift, allowed) for row in rows):
                return shift if any(max(row[:shift]) - min(row[:shift]) > allowed for row in rows) else None
    return None


def _is_periodic(row: Sequence[float], shift: int, allowed: float) -> bool:
    return all(abs(one - other) <= allowed for one, other in zip(row, row[shift:], strict=False))


def have_equal_units(graph: Graph, operation: Operation, tolerance: float) -> bool | None:
    """Whether the units respond alike, also after the bias and activation that follow, *and* receive alike gradients.

    None when it cannot be told: not measured, or no gradient arrives yet.
    """
    if operation.forward is None or operation.backward is None or operation.backward.rms == 0.0:
        return None
    if not are_equal(operation.backward, tolerance):
        return False
    stages = [operation, *following(graph, operation)]
    return all(are_equal(stage.forward, tolerance) for stage in stages if stage.forward is not None)


def tells_samples_apart(graph: Graph, operation: Operation, floor: float) -> bool:
    """Whether anything computed from ``operation`` differs between batch entries by more than rounding."""
    after = (graph.trace.operations[index] for index in graph.downstream({operation.index}))
    return any(
        reader.forward is not None and (reader.forward.batch_share is None or reader.forward.batch_share > floor)
        for reader in after
        if not reader.in_loss
    )


def following(graph: Graph, operation: Operation) -> list[Operation]:
    """Biases, scales and activations applied to the units of ``operation`` before anything mixes them."""
    found, stack = [], [operation]
    while stack:
        for index in graph.readers[stack.pop().index]:
            reader = graph.trace.operations[index]
            if reader.shape == operation.shape and (reader.kind in _CARRIES or reader.role in _CARRIES_AS):
                found.append(reader)
                stack.append(reader)
    return found
