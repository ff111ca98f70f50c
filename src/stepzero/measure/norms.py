"""Gains and shifts of normalisations, whether one call does it all or the norm is written out by hand."""

from collections.abc import Iterator
from dataclasses import dataclass

from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.uses import live_inputs

_THROUGH = frozenset(["view", "dropout"])


@dataclass(frozen=True, slots=True)
class Affine:
    """What stands behind one normalisation: gain and shift (either may be missing) and the operation they end in."""

    operation: Operation
    gain: ParameterUse | None
    shift: ParameterUse | None


def affines(trace: Trace) -> Iterator[Affine]:
    """Every use of a gain behind a normalisation, in execution order.

    Parameters that enter changed (``1 + w``, weight norm) are left out: what is neutral for them is not known here.
    """
    for operation in trace.operations:
        if not operation.from_input:
            continue
        if operation.kind == "norm":
            gain, shift = _slot(operation, "gain"), _slot(operation, "shift")
        elif operation.role == "scale" and _is_normalised(trace, operation):
            gain, shift = _slot(operation, "gain"), None
        else:
            continue
        if gain is not None or shift is not None:
            yield Affine(operation, gain, shift)


def _slot(operation: Operation, slot: str) -> ParameterUse | None:
    return next((use for use in operation.uses if use.slot == slot and not use.is_derived), None)


def _is_normalised(trace: Trace, operation: Operation) -> bool:
    """Whether the operation scales what a norm written out by hand has just returned."""
    while len(sources := live_inputs(trace, operation)) == 1:
        operation = sources[0]
        if operation.kind not in _THROUGH:
            return operation.role == "norm" and operation.kind in ("multiply", "norm") and not operation.uses
    return False


_KEEPS = frozenset(["view", "dropout", "join", "add", "multiply", "other"])


def sized_by_norm(trace: Trace, operation: Operation) -> bool:
    """Whether the size of ``operation`` was set by a norm: one lies on every way back, in front of any weight.

    Gains, constants and rotations of coordinates (sums of parts of one vector) may lie between.
    """
    queue, seen = [operation], {operation.index}
    for step in queue:
        if step.role == "norm":
            continue
        sources = live_inputs(trace, step)
        if step.kind not in _KEEPS or not sources:
            return False
        queue += [source for source in sources if source.index not in seen]
        seen |= {source.index for source in sources}
    return True
