"""Where looked-up tokens meet what else is added to them: positions, types, fixed tables."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.uses import LOOKUPS

_PASSES = frozenset(["view", "dropout", "multiply", "add"])


@dataclass(frozen=True, slots=True)
class Meeting:
    """One sum of looked-up tokens and another term, before any other weight."""

    operation: Operation
    tokens: tuple[str, ...]
    """Tables that the tokens come from."""
    token_rms: float
    """After any scaling in the forward."""
    other: str
    """Parameter that the other term is; empty when the model computes or keeps it."""
    other_rms: float
    is_exact: bool
    """False where the other term is only known as what the sum has more than the tokens."""


def meetings(trace: Trace) -> Iterator[Meeting]:
    """Every such sum, in execution order."""
    facts = {fact.name: fact for fact in trace.parameters}
    for operation in trace.operations:
        if operation.kind != "add" or operation.forward is None or operation.in_loss:
            continue
        terms = [(source, _tables(trace, source)) for source in operation.inputs]
        found = [(trace.operations[source], tables) for source, tables in terms if tables]
        if not found or found[0][0].index == operation.index:
            continue
        source, tables = found[0]
        size = _size(trace, source)
        other = _other(trace, operation, source, facts) if size else None
        if size and other is not None:
            yield Meeting(operation, tables, size, *other)


def _other(
    trace: Trace, operation: Operation, tokens: Operation, facts: dict[str, TensorFact]
) -> tuple[str, float, bool] | None:
    """(parameter, rms, whether that is exact) of the term that is not the tokens; None when nothing is known."""
    second = [trace.operations[index] for index in operation.inputs if index != tokens.index]
    if [use.slot for use in operation.uses] == ["table"] and all(map(_is_plain, _chain(trace, second))):
        fact = facts.get(operation.uses[0].parameter)
        return (fact.name, fact.rms, True) if fact is not None else None
    if len(second) == 1 and second[0].from_input and (tables := _tables(trace, second[0].index)):
        size = _size(trace, second[0])
        return (tables[0], size, True) if size is not None else None
    before = _size(trace, tokens)
    if operation.uses or second or operation.forward is None or before is None:
        return None
    return "", math.sqrt(max(0.0, operation.forward.rms**2 - before**2)), False


def _chain(trace: Trace, ends: list[Operation]) -> list[Operation]:
    """Operations without the batch from a term up to its parameter."""
    found = list(ends)
    for operation in found:
        found += [trace.operations[index] for index in operation.inputs if trace.operations[index] not in found]
    return found


def _is_plain(operation: Operation) -> bool:
    """Whether the values of the parameter go through unchanged."""
    return operation.kind == "view" or operation.name in LOOKUPS or operation.name == "input"


def _size(trace: Trace, operation: Operation) -> float | None:
    while operation.forward is None and operation.kind in ("view", "dropout") and len(operation.inputs) == 1:
        operation = trace.operations[operation.inputs[0]]
    return operation.forward.rms if operation.forward is not None and not operation.forward.nonfinite else None


def _tables(trace: Trace, index: int) -> tuple[str, ...]:
    """Tables that all of a term is looked up in by the batch, scaled or summed; empty when anything else is in it."""
    found: list[str] = []
    queue = [index]
    for each in queue:
        operation = trace.operations[each]
        if not operation.from_input:
            continue
        if operation.name in LOOKUPS and operation.kind == "weighted":
            found += [use.parameter for use in operation.uses]
        elif operation.kind in _PASSES and operation.role in ("", "scale", "bias") and operation.inputs:
            queue += [source for source in operation.inputs if source not in queue]
        else:
            return ()
    return tuple(dict.fromkeys(found))
