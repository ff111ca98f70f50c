"""Does the first pass give a reason to run a probe? Float32 and few projections: enough to doubt, never to judge."""

import itertools
import math

import torch
from torch import Tensor

from stepzero.core.trace import Operation, Signal, Trace
from stepzero.core.vector import Vector
from stepzero.measure.redundancy import equal_groups, parallel_groups
from stepzero.measure.uses import WEIGHTS, weight_use

_ALIKE = 1e-4
"""Relative difference of two float32 fingerprints that could be one; four numbers agree so by chance in 1e-12."""
_FAINT = 1e-6
"""Gradients this far below the largest may be a cancelled sum."""
_OF_ONE_LAYER = 2
"""Weights of a recurrent layer: one for the input, one for the state."""
_SILENT = 1e-4
"""Of what arrives at the output: a norm over one element multiplies rounding by 1 / sqrt(eps)."""


def of_copies(trace: Trace) -> str:
    """Why two units of this model may be copies; empty when the first pass tells all of them apart."""
    if not trace.has_backward:
        return ""
    for operation in trace.weighted():
        use = weight_use(operation)
        if use is not None and operation.forward is not None and has_look_alikes(operation.forward):
            return f"units of {use.parameter} respond alike"
        if use is not None and operation.consumer == "norm" and _has_equal_gradients(operation.backward):
            return f"units of {use.parameter} get one gradient, and the norm behind them hides a bias"
        if found := _equal_below(trace, operation):
            return f"units of {found} get gradients of one size"
    for fact in trace.parameters:
        if fact.repeated_rows and fact.requires_grad:
            return f"{fact.repeated_rows} rows of {fact.name} are equal to another one"
    names = repeated(trace)
    return f"{names[0]} and {names[1]} hold the same numbers" if names else ""


def has_look_alikes(signal: Signal) -> bool:
    """Whether two units' fingerprints are equal or multiples of each other, both zero included."""
    if signal.nonfinite or signal.units < 2 or not signal.projections:
        return False
    prints_UK = tensor_of(signal.fingerprint).view(-1, signal.units).T
    squares = tensor_of(signal.unit_square)
    num_zero = int((squares == 0).sum())
    return num_zero > 1 or bool(equal_groups(prints_UK, _ALIKE)) or bool(parallel_groups(prints_UK, _ALIKE))


def _has_equal_gradients(signal: Signal | None) -> bool:
    """Whether two units that get a gradient get the same one."""
    if signal is None or signal.nonfinite or signal.units < 2 or not signal.projections:
        return False
    prints_UK = tensor_of(signal.fingerprint).view(-1, signal.units).T
    return bool(equal_groups(prints_UK[prints_UK.any(1)], _ALIKE))


def _equal_below(trace: Trace, operation: Operation) -> str:
    """A weight of a recurrent call of several layers in which two hidden units have equal gradient norms throughout.

    Only the last layer's responses come out of such a call. Copies get equal gradients in every gate, of the input's
    weight and of the state's.
    """
    weights = [use for use in operation.uses if use.slot in ("weight", "recurrent")]
    if len(weights) <= _OF_ONE_LAYER or all(use.slot != "recurrent" for use in weights):
        return ""
    facts = {fact.name: fact for fact in trace.parameters}
    for one, two in itertools.pairwise(weights):
        if (one.slot, two.slot) == ("weight", "recurrent") and one.blocks == two.blocks:
            gradients = [facts[use.parameter].gradient for use in (one, two)]
            norms = [tensor_of(each.row_norm).view(one.blocks, -1).T for each in gradients if each is not None]
            if len(norms) == len(gradients) and norms[0].shape == norms[1].shape:
                joined = torch.cat(norms, 1)
                if equal_groups(joined[joined.any(1)], _ALIKE):
                    return one.parameter
    return ""


def tensor_of(vector: Vector) -> Tensor:
    """[n] float64; a copy."""
    return torch.frombuffer(bytearray(vector.data), dtype=torch.float64) if vector.data else torch.zeros(0).double()


def repeated(trace: Trace) -> tuple[str, ...]:
    """Two weights of one shape with equal statistics, if there are any: probably equal content."""
    seen: dict[tuple[object, ...], str] = {}
    for fact in trace.parameters:
        if len(fact.shape) < 2 or fact.is_constant or not fact.sample:
            continue
        key = (fact.shape, fact.low, fact.high, fact.mean, fact.std)
        if key in seen:
            return seen[key], fact.name
        seen[key] = fact.name
    return ()


def of_sleep(trace: Trace) -> str:
    """Why some parameter may not learn from here; empty when a gradient reaches every slice of every weight."""
    if not trace.has_backward:
        return ""
    largest = max((fact.gradient.rms for fact in trace.parameters if fact.gradient is not None), default=0.0)
    rows = _rows_explained(trace)
    for fact in trace.parameters:
        if not fact.requires_grad or not fact.numel:
            continue
        if fact.gradient is None:
            if fact.is_used:
                return f"{fact.name} has no gradient"
        elif fact.gradient.norm == 0.0 or (fact.gradient.rms < _FAINT * largest and not fact.gradient.nonfinite):
            return f"the gradient of {fact.name} is zero, or nearly"
        elif len(fact.shape) > 1 and fact.gradient.zero_rows > rows.get(fact.name, 0):
            return f"{fact.gradient.zero_rows} of {len(fact.gradient.row_norm)} rows of {fact.name} have no gradient"
    return _of_silence(trace)


def _of_silence(trace: Trace) -> str:
    """All gradients are faint beside what arrives at the output: then the largest of them is rounding, too."""
    arriving = [each for each in trace.operations if each.backward is not None and not each.in_loss]
    loudest = max((each.backward.rms for each in arriving if each.backward), default=0.0)
    heard = max((each.backward.rms for each in arriving if each.backward and each.kind == "weighted"), default=loudest)
    is_silent = math.isfinite(loudest) and heard < _SILENT * loudest
    return "hardly any gradient reaches a weight" if is_silent else ""


def _rows_explained(trace: Trace) -> dict[str, float]:
    """Rows without a gradient for a plain reason: looked-up tables, and units that are off on the whole batch."""
    explained: dict[str, float] = {}
    for operation in trace.operations:
        for use in operation.uses:
            if use.slot == "table" or use.parameter not in explained:
                off = float("inf") if use.slot == "table" else _num_off(trace, operation)
                explained[use.parameter] = max(off, explained.get(use.parameter, 0.0))
            if use.slot not in WEIGHTS:
                explained[use.parameter] = float("inf")
    return explained


def _num_off(trace: Trace, operation: Operation) -> float:
    consumer = trace.operations[operation.consumer_index] if operation.consumer_index is not None else None
    if consumer is None or consumer.forward is None or not len(consumer.forward.off_share):
        return 0.0
    return float(sum(share >= 1.0 for share in consumer.forward.off_share.unpack()))
