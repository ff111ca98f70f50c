"""The table by layer: one row a weighted operation, from the Trace alone."""

import math
from dataclasses import replace

from stepzero.core.outcome import LayerRow
from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.uses import weight_use

_SATURATED = 0.5
"""A unit counts as flat when its activation is flat on more than half of the positions (Glorot & Bengio 2010)."""


def layer_table(trace: Trace) -> tuple[LayerRow, ...]:
    """Rows in execution order; repeated calls of one weight in one module are one row with a count."""
    facts = {fact.name: fact for fact in trace.parameters}
    rows: dict[tuple[str, str], LayerRow] = {}
    for operation in trace.weighted():
        use = weight_use(operation)
        if use is None:
            continue
        key = (use.parameter, operation.name)
        if key in rows:
            rows[key] = replace(rows[key], calls=rows[key].calls + 1)
        else:
            rows[key] = _row(trace, operation, use, facts.get(use.parameter))
    return tuple(rows.values())


def law_std(use: ParameterUse, consumer: Operation | None = None) -> float | None:
    """gain(consumer) / sqrt(true fan in): the standard deviation that keeps the signal's second moment."""
    if not use.fan_in or use.slot == "table" or use.is_derived:
        return None
    gain = consumer.gain if consumer is not None and consumer.kind == "activation" else None
    return (gain or 1.0) / math.sqrt(use.fan_in)


def unit_shares(operation: Operation) -> tuple[float | None, float | None]:
    """Share of units that are flat on most positions, and of units that are off on all (activations only)."""
    signal = operation.forward
    if signal is None or not len(signal.off_share):
        return None, None
    flat, off = signal.flat_share.unpack(), signal.off_share.unpack()
    return sum(share > _SATURATED for share in flat) / len(flat), sum(share >= 1.0 for share in off) / len(off)


def _row(trace: Trace, operation: Operation, use: ParameterUse, fact: TensorFact | None) -> LayerRow:
    source = next((trace.operations[index] for index in operation.inputs if trace.operations[index].from_input), None)
    while source is not None and source.forward is None and source.inputs:
        source = trace.operations[source.inputs[0]]
    consumer = trace.operations[operation.consumer_index] if operation.consumer_index is not None else None
    flat, dead = unit_shares(consumer) if consumer is not None else (None, None)
    law, std = law_std(use, consumer), fact.std if fact else None
    gradient = fact.gradient if fact else None
    units = operation.shape[operation.unit_axis] if operation.unit_axis is not None else None
    return LayerRow(
        operation=operation.index,
        path=use.parameter,
        name=operation.name,
        shape=use.shape,
        fan_in=use.fan_in,
        units=units,
        weight_std=std,
        law_ratio=std / law if law and std is not None else None,
        consumer=operation.consumer,
        signal_in=source.forward.rms if source and source.forward else None,
        signal_out=operation.forward.rms if operation.forward else None,
        batch_share=operation.forward.batch_share if operation.forward else None,
        flat_share=flat,
        dead_share=dead,
        gradient_to_weight=gradient.rms / fact.rms if gradient and fact and fact.rms else None,
        distinct=_distinct(trace, use, units),
        wakes=_wakes(trace, fact),
    )


def _distinct(trace: Trace, use: ParameterUse, units: int | None) -> int | None:
    """As the symmetry probe counted, else all: without a reason to run it, the first pass told every unit apart."""
    if trace.symmetry.ran:
        return next((width.distinct for width in trace.symmetry.widths if width.parameter == use.parameter), None)
    return units if trace.has_backward and not trace.symmetry.reason else None


def _wakes(trace: Trace, fact: TensorFact | None) -> int | None:
    if fact is None or fact.gradient is None or not fact.requires_grad:
        return None
    found = next((each for each in trace.wake.parameters if each.parameter == fact.name), None)
    if found is not None:
        return None if found.stuck == found.slices else found.delay
    return 0 if fact.gradient.norm > 0 else None
