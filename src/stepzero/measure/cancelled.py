"""Offsets and scales that what reads them takes off again.

A bias in front of a batch norm, a key's bias under a softmax, the gain of a batch norm whose channels go one by one
into the next. Their gradient is a sum over positions whose terms cancel. What rounding leaves of such a sum is told
from a small gradient by the terms themselves, whose size the first pass measures: no further pass is needed.
"""

import math

from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.uses import feeding, live_inputs, readings

_OFFSETS = frozenset(["bias", "shift"])
_BY_CHANNEL = frozenset(["batch_norm", "instance_norm"])
"""Norms that subtract each channel's own mean."""
_LINEAR = frozenset(["view", "dropout", "join", "add", "product", "weighted", "pool"])
"""Kinds whose result moves by a constant, or by the other factor, when a constant is added to an input."""
_CHANNELWISE = frozenset(["view", "dropout", "weighted"])
"""Kinds that may hand a channel's scale on. Where channels are mixed, the terms do not cancel."""
_HOMOGENEOUS = frozenset(["relu", "relu6", "hardtanh", "leaky_relu", "prelu"])
"""Activations that hand a positive factor on, where nothing was added behind it and nothing is cut off."""
_LIMITERS = frozenset("max maximum clamp clamp_min clip where masked_fill".split())
"""Operations of one live input and its shape, which masks are applied with: they let go what they do not replace."""
_MAXIMA = frozenset("amax amin max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d".split())


def cancelled(trace: Trace, limits: Limits) -> tuple[str, ...]:
    """Trainable offsets and gains, in the model's order, that are taken off and whose gradient is rounding alone."""
    if not trace.has_backward:
        return ()
    graph, read = Graph(trace), readings(trace)
    facts = {fact.name: fact for fact in trace.parameters}
    largest = max((fact.gradient.rms for fact in trace.parameters if fact.gradient is not None), default=0.0)
    heard = limits.faint_gradient * largest
    return tuple(
        fact.name
        for fact in trace.parameters
        if _is_faint(fact, heard) and _is_cancelled(graph, fact, read[fact.name], facts, heard, limits)
    )


def _is_faint(fact: TensorFact, heard: float) -> bool:
    return fact.requires_grad and fact.gradient is not None and fact.gradient.rms < heard


def _is_cancelled(
    graph: Graph,
    fact: TensorFact,
    read: list[tuple[Operation, ParameterUse]],
    facts: dict[str, TensorFact],
    heard: float,
    limits: Limits,
) -> bool:
    """Whether every reading is undone, a live gradient arrives at each, and its sum is a rounding of its terms.

    A norm's gain multiplies numbers of size 1, so that its terms are as large as those of its shift.
    """
    assert fact.gradient is not None
    operations = [operation for operation, _ in read if operation.from_input]
    slots = {_slot(use) for operation in operations for use in operation.uses if use.parameter == fact.name}
    kinds = _LINEAR if slots <= _OFFSETS else _CHANNELWISE
    if not operations or not (slots <= _OFFSETS or slots == {"gain"}):
        return False
    terms = 0.0
    for operation in operations:
        beside = [facts[name].gradient for name in feeding(graph.trace, operation) if name != fact.name]
        is_live = any(gradient is not None and gradient.rms >= heard for gradient in beside)
        arriving = _arriving(graph, operation)
        passed = _HOMOGENEOUS if slots == {"gain"} and _has_no_shift(operation, facts) else frozenset[str]()
        if arriving is None or not is_live or not is_taken_off(graph, operation, kinds, passed):
            return False
        terms += math.prod(operation.shape) * arriving**2
    return fact.gradient.norm <= limits.cancelled_gradient * math.sqrt(terms)


def _slot(use: ParameterUse) -> str:
    """A weight with one number a unit, as of a depthwise convolution of one pixel, is a gain."""
    units = math.prod(size for size, role in zip(use.shape, use.axes, strict=True) if role == "out")
    return "gain" if use.slot == "weight" and use.fan_in == 1.0 and units == math.prod(use.shape) else use.slot


def _arriving(graph: Graph, operation: Operation) -> float | None:
    """Rms of the gradient at the result; of a norm in front of a rectifier, whose own is not measured, at that."""
    if operation.backward is not None:
        return operation.backward.rms
    readers = [graph.trace.operations[reader] for reader in graph.readers[operation.index]]
    seen = readers[0].backward if len(readers) == 1 and readers[0].name in _HOMOGENEOUS else None
    return seen.rms if seen is not None else None


def _is_limiter(trace: Trace, operation: Operation) -> bool:
    live = live_inputs(trace, operation)
    return operation.name in _LIMITERS and len(live) == 1 and live[0].shape == operation.shape


def _is_clipped(operation: Operation) -> bool:
    """Whether some response lies at the upper end of an activation that has one, or its lower end is not zero."""
    least, most, signal = operation.attributes.get("min", 0.0), operation.attributes.get("max"), operation.forward
    if least != 0.0:
        return True
    return isinstance(most, float) and not (signal is not None and signal.high is not None and signal.high < most)


def _has_no_shift(operation: Operation, facts: dict[str, TensorFact]) -> bool:
    shifts = [facts[use.parameter] for use in operation.uses if use.slot == "shift" and use.parameter in facts]
    return all(fact.is_zero for fact in shifts)


def is_taken_off(
    graph: Graph, operation: Operation, kinds: frozenset[str] = _LINEAR, passed: frozenset[str] = frozenset()
) -> bool:
    """Whether every way on is of these kinds, or ``passed``, up to a norm of each channel, softmax, or attention."""
    queue, seen = [operation.index], {operation.index}
    for index in queue:
        # What leads elsewhere, such as statistics kept for later, gets no gradient.
        readers = [graph.trace.operations[each] for each in graph.readers[index] if each in graph.before_loss]
        if not readers:
            return False
        for reader in readers:
            if reader.name in _BY_CHANNEL or reader.kind in ("softmax", "attention"):
                continue
            is_scale = reader.kind == "multiply" and reader.role == "scale"
            is_linear = reader.kind in kinds or is_scale or (reader.name in passed and not _is_clipped(reader))
            is_limited = kinds is _LINEAR and _is_limiter(graph.trace, reader)
            if not (is_linear or is_limited) or reader.in_loss or (reader.name in _MAXIMA and not is_limited):
                return False
            if reader.index not in seen:
                seen.add(reader.index)
                queue.append(reader.index)
    return True


def is_scale_taken_off(graph: Graph, operation: Operation) -> bool:
    """Whether a factor of the whole result meets a norm on every way on, with nothing in front but linear layers."""
    queue, seen = [operation.index], {operation.index}
    for index in queue:
        readers = [graph.trace.operations[reader] for reader in graph.readers[index]]
        if not readers:
            return False
        for reader in readers:
            if reader.kind == "norm" or reader.index in seen:
                continue
            if reader.kind not in _CHANNELWISE or reader.in_loss:
                return False
            seen.add(reader.index)
            queue.append(reader.index)
    return True


def is_cancelled_sum(trace: Trace, name: str, slices: list[int], limits: Limits) -> bool:
    """Whether these slices of an offset get nothing although what arrives where they are added is not small.

    So their terms cancel; where no gradient arrives, or a vanishing one, nothing can be said.
    """
    largest = max((fact.gradient.rms for fact in trace.parameters if fact.gradient is not None), default=0.0)
    heard = limits.faint_gradient * largest
    readers = [(each, use) for each in trace.operations for use in each.uses if use.parameter == name]
    if not readers or any(use.slot not in _OFFSETS or not each.from_input for each, use in readers):
        return False
    return all(_arrives(operation, use, slices, heard) for operation, use in readers)


def _arrives(operation: Operation, use: ParameterUse, slices: list[int], heard: float) -> bool:
    """Whether the gradients at these units, or at all where every unit is meant, add up to one that could be heard."""
    signal, units = operation.backward, math.prod(use.shape)
    if signal is None or signal.nonfinite:
        return False
    positions = math.prod(operation.shape) / max(1, units)
    if len(slices) == units:
        return signal.rms * math.sqrt(positions) >= heard > 0.0
    squares = signal.unit_square
    return len(squares) == units and min(squares[each] for each in slices) * positions >= heard**2 > 0.0
