"""From a classification loss back to the weights its logits come from."""

import math
from dataclasses import dataclass

from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.uses import before, live_inputs, units, weight_use

_PLAIN = frozenset(["view", "dropout", "softmax"])
_ADDS = frozenset(["bias", "scale"])


@dataclass(frozen=True, slots=True)
class Head:
    """The last weighted operation in front of a loss, and the logits as the loss sees them (biased, scaled)."""

    operation: Operation
    use: ParameterUse
    logits: Operation


def head_of(trace: Trace, loss: Operation) -> Head | None:
    """The head whose result is the logits, up to views, biases, scales and a softmax; None when they come otherwise.

    Similarities of two signals (contrastive losses) and sums of several heads have no single weight to speak of.
    """
    sources, logits = [trace.operations[index] for index in loss.inputs][:1], None
    while len(sources) == 1:
        operation = sources[0]
        if operation.backward is not None and operation.kind != "softmax":
            logits = logits or operation
        if operation.kind == "weighted":
            use = weight_use(operation)
            return Head(operation, use, logits or operation) if use is not None and use.slot == "weight" else None
        if operation.kind not in _PLAIN and operation.role not in _ADDS:
            return None
        sources = live_inputs(trace, operation)
    return None


def gain_backward(trace: Trace, head: Head) -> float | None:
    """Gradient that the head sends into the backbone, over what a head of standard deviation 1/sqrt(fan in) would send.

    With delta at K logits, a weight of standard deviation s sends s sqrt(K) rms(delta): the ratio is s sqrt(fan in).
    Constant factors in front of the weight and behind it (in the model, not in the loss) count as part of it.
    """
    source, arriving = before(trace, head.operation), head.logits.backward
    while source is not None and source.role == "scale":
        source = before(trace, source)
    if source is None or source.backward is None or arriving is None or not arriving.rms or not head.use.fan_in:
        return None
    return source.backward.rms / arriving.rms * math.sqrt(head.use.fan_in / units(head.operation))


def loss_per_target(loss: Operation) -> float | None:
    """The value of a classification loss for one target; None when ln K is not its reference or it was not recorded."""
    attributes = loss.attributes
    value, count = attributes.get("value"), attributes.get("num_targets")
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    if attributes.get("reduction") == "mean":
        return value
    is_plain_sum = attributes.get("reduction") == "sum" and not attributes.get("is_weighted")
    return value / count if is_plain_sum and isinstance(count, float) and count else None


def num_targets(trace: Trace, loss: Operation) -> float | None:
    """Samples, or positions of sequences, that a classification loss is about; None where nobody knows."""
    count = loss.attributes.get("num_targets", trace.batch_size)
    return float(count) if isinstance(count, int | float) else None


def label_scatter(trace: Trace, loss: Operation) -> float:
    """Standard deviation of the mean loss over which labels the batch happens to hold: that of the logits / sqrt(N)."""
    spread, count = loss.attributes.get("logit_std"), num_targets(trace, loss)
    return spread / math.sqrt(max(1.0, count)) if isinstance(spread, float) and count is not None else 0.0
