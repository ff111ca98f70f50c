"""Offsets and scales that what reads them takes off again.

A bias in front of a batch norm, a key's bias under a softmax, the gain of a batch norm whose channels go one by one
into the next. Their gradient is a sum over positions whose terms cancel. What rounding leaves of such a sum is told
from a small gradient by the terms themselves, whose size the first pass measures: no further pass is needed.
"""

import math

from stepzero.core.limits import Limits
from stepzero.core.trace import Graph, Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.uses import feeding, readings

_OFFSETS = frozenset(["bias", "shift"])
_BY_CHANNEL = frozenset(["batch_norm", "instance_norm"])
"""Norms that subtract each channel's own mean."""
_LINEAR = frozenset(["view", "dropout", "join", "add", "product", "weighted", "pool"])
"""Kinds whose result moves by a constant, or by the other factor, when a constant is added to an input."""
_CHANNELWISE = frozenset(["view", "dropout", "weighted"])
"""Kinds that may hand a channel's scale on. Where channels are mixed, the terms do not cancel."""
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
    slots = {use.slot for operation in operations for use in operation.uses if use.parameter == fact.name}
    kinds = _LINEAR if slots <= _OFFSETS else _CHANNELWISE
    if not operations or not (slots <= _OFFSETS or slots == {"gain"}):
        return False
    terms = 0.0
    for operation in operations:
        beside = [facts[name].gradient for name in feeding(graph.trace, operation) if name != fact.name]
        is_live = any(gradient is not None and gradient.rms >= heard for gradient in beside)
        if operation.backward is None or not is_live or not is_taken_off(graph, operation, kinds):
            return False
        terms += math.prod(operation.shape) * operation.backward.rms**2
    return fact.gradient.norm <= limits.cancelled_gradient * math.sqrt(terms)


def is_taken_off(graph: Graph, operation: Operation, kinds: frozenset[str] = _LINEAR) -> bool:
    """Whether every way on is of these kinds up to a norm of each channel, a softmax, or attention."""
    queue, seen = [operation.index], {operation.index}
    for index in queue:
        readers = [graph.trace.operations[reader] for reader in graph.readers[index]]
        if not readers:
            return False
        for reader in readers:
            if reader.name in _BY_CHANNEL or reader.kind in ("softmax", "attention"):
                continue
            is_linear = reader.kind in kinds or (reader.kind == "multiply" and reader.role == "scale")
            if not is_linear or reader.in_loss or reader.name in _MAXIMA:
                return False
            if reader.index not in seen:
                seen.add(reader.index)
                queue.append(reader.index)
    return True
