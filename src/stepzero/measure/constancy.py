"""Where does a network stop telling its samples apart? Walked back from what the loss reads."""

import math
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, Trace
from stepzero.measure.roundoff import unit_roundoff
from stepzero.measure.uses import live_inputs


@dataclass(frozen=True, slots=True)
class Cut:
    """The first operation whose result is the same for every sample, though what it reads is not."""

    operation: Operation
    spread: float
    """Standard deviation over samples of what the loss reads, over its rms."""


def outputs(trace: Trace) -> list[Operation]:
    """What the loss reads and the batch reaches, as measured in front of views; not the batch itself.

    Empty when one of them was not measured, or is not finite: then nothing can be said of all.
    """
    read = {
        index
        for reader in trace.operations
        if reader.in_loss or reader.kind == "loss"
        for index in reader.inputs
        if _is_of_model(trace.operations[index])
    }
    found = [_measured(trace, trace.operations[index]) for index in sorted(read)]
    known = [each for each in found if each is not None and each.forward is not None and not each.forward.nonfinite]
    return list({each.index: each for each in known}.values()) if len(known) == len(found) else []


def _is_of_model(operation: Operation) -> bool:
    is_loss = operation.in_loss or operation.kind == "loss"
    return operation.from_input and not is_loss and operation.name != "input"


def cut(trace: Trace, roundoffs: float) -> Cut | None:
    """The `Cut` when every output is constant over the batch; None when one varies or was not measured over samples.

    Walked back through constant results only, so a constant side input (a table of positions) is not mistaken for it.
    """
    ends = outputs(trace)
    if not ends or not all(is_constant(end, roundoffs) for end in ends):
        return None
    found = [each for end in ends for each in _cuts(trace, end, roundoffs)]
    first = min(found, key=lambda operation: operation.index, default=None)
    return Cut(first, max(map(spread, ends))) if first is not None else None


def varies(trace: Trace, roundoffs: float) -> bool:
    """Whether anything in front of the outputs differs between samples."""
    above = Graph(trace).upstream({end.index for end in outputs(trace)})
    return any(
        operation.from_input and _is_measured(operation) and not is_constant(operation, roundoffs)
        for operation in (trace.operations[index] for index in above)
    )


def is_constant(operation: Operation, roundoffs: float) -> bool:
    """Whether samples differ by no more than ``roundoffs`` roundings of float32, in which statistics are told apart.

    Also in narrower types: there equal samples are equal, while one rounding may be as large as a real difference.
    """
    return _is_measured(operation) and spread(operation) <= roundoffs * unit_roundoff("float32")


def spread(operation: Operation) -> float:
    """Standard deviation over samples over the rms; 0 for zeros, NaN when it was not measured over samples."""
    signal = operation.forward
    return math.nan if signal is None or signal.batch_share is None else math.sqrt(signal.batch_share)


def _is_measured(operation: Operation) -> bool:
    return operation.forward is not None and operation.forward.batch_share is not None


def _cuts(trace: Trace, end: Operation, roundoffs: float) -> list[Operation]:
    found, queue, seen = list[Operation](), [end], {end.index}
    for operation in queue:
        above = [_measured(trace, source) for source in live_inputs(trace, operation)]
        known = [source for source in above if source is not None and _is_measured(source)]
        if any(not is_constant(source, roundoffs) for source in known):
            found.append(operation)
            continue
        queue += [source for source in known if source.index not in seen]
        seen |= {source.index for source in known}
    return found


def _measured(trace: Trace, operation: Operation) -> Operation | None:
    """The operation itself, or the nearest one in front of it that was measured."""
    while operation.forward is None:
        sources = live_inputs(trace, operation)
        if len(sources) != 1:
            return None
        operation = sources[0]
    return operation
