"""From a classification loss back to the weights its logits come from."""

import math
from dataclasses import dataclass

from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.uses import before, live_inputs, weight_use

_PLAIN = frozenset(["view", "dropout", "softmax"])
_ADDS = frozenset(["bias", "scale"])


@dataclass(frozen=True, slots=True)
class Head:
    """The last weighted operation in front of a loss."""

    operation: Operation
    use: ParameterUse


def head_of(trace: Trace, loss: Operation) -> Head | None:
    """The head whose result is the logits, up to views, biases, scales and a softmax; None when they come otherwise.

    Similarities of two signals (contrastive losses) and sums of several heads have no single weight to speak of.
    """
    sources = [trace.operations[index] for index in loss.inputs][:1]
    while len(sources) == 1:
        operation = sources[0]
        if operation.kind == "weighted":
            use = weight_use(operation)
            return Head(operation, use) if use is not None and use.slot == "weight" else None
        if operation.kind not in _PLAIN and operation.role not in _ADDS:
            return None
        sources = live_inputs(trace, operation)
    return None


def gain_backward(trace: Trace, head: Head) -> float | None:
    """Gradient that the head sends into the backbone, over what a head of standard deviation 1/sqrt(fan in) would send.

    With delta at K logits, a weight of standard deviation s sends s sqrt(K) rms(delta): the ratio is s sqrt(fan in).
    """
    source, units = before(trace, head.operation), head.operation.shape[-1]
    arriving = head.operation.backward
    if source is None or source.backward is None or arriving is None or not arriving.rms or not head.use.fan_in:
        return None
    return source.backward.rms / arriving.rms * math.sqrt(head.use.fan_in / units)
