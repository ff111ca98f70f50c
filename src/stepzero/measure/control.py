"""What a parameter would hold by its law: the matched control's values, told from how the parameter is used."""

import math
from dataclasses import dataclass

from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.layers import law_std
from stepzero.measure.uses import readings

_WEIGHTS = ("weight", "recurrent", "table", "operand")


@dataclass(frozen=True, slots=True)
class Law:
    """Normal draw of standard deviation ``std`` around ``mean``; a ``std`` of 0 is a constant."""

    mean: float
    std: float


def laws(trace: Trace) -> dict[str, Law]:
    """The law of every parameter that some operation reads; others are left as they are."""
    read = readings(trace)
    found: dict[str, Law] = {}
    for fact in trace.parameters:
        uses = read.get(fact.name, []) or [use for alias in fact.aliases for use in read.get(alias, [])]
        law = _law(trace, uses, len(fact.shape), is_zero=fact.is_zero)
        if law is not None:
            found[fact.name] = law
    return found


def _law(trace: Trace, uses: list[tuple[Operation, ParameterUse]], dim: int, *, is_zero: bool) -> Law | None:
    slots = {use.slot for _, use in uses}
    if not uses:
        return None
    for operation, use in sorted(uses, key=lambda each: each[1].slot == "table"):  # a tied head has logits to keep
        if use.slot in _WEIGHTS and dim > 1:
            return Law(0.0, _std(trace, operation, use))
    if any(use.is_derived for _, use in uses) or slots <= {"operand"}:
        return Law(1.0, 0.0) if is_zero else None  # a gate, a magnitude, a time constant: its value may mean something
    return Law(1.0, 0.0) if "gain" in slots else Law(0.0, 0.0)


def _std(trace: Trace, operation: Operation, use: ParameterUse) -> float:
    if use.slot == "table":
        return 1.0
    consumer = trace.operations[operation.consumer_index] if operation.consumer_index is not None else None
    law = law_std(use, consumer)
    if law is not None and math.isfinite(law):
        return law
    return 1.0 / math.sqrt(use.fan_in or use.shape[-1] or 1)
