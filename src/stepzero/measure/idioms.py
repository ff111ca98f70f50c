"""Idioms: what looks like a fault and is meant, recognised by structure and effect (catalogue 0.7), never by a name.

Each earns its entry by evidence in the Trace: a zero that has a gradient or wakes, a prior that lowers the first loss,
a padding row that no gradient reaches. What cannot be confirmed is not accepted.
"""

from collections.abc import Iterator

from stepzero.core.limits import Limits
from stepzero.core.outcome import Accepted
from stepzero.core.trace import Trace
from stepzero.measure import bias_idioms
from stepzero.measure.uses import readings
from stepzero.measure.zero_idioms import Zeros


def accepted(trace: Trace, limits: Limits) -> Iterator[Accepted]:
    """Every idiom of the model, zeros first."""
    if trace.has_backward:
        yield from Zeros(trace, limits).accepted()
        yield from bias_idioms.accepted(trace, limits)
    yield from _tied(trace)
    yield from _frozen_copies(trace)
    yield from _padding_rows(trace)


def _tied(trace: Trace) -> Iterator[Accepted]:
    """Same storage and strides; equal content alone is no tie."""
    for fact in trace.parameters:
        if fact.aliases and fact.requires_grad:
            names = (fact.name, *fact.aliases)
            why = f"one tensor under {len(names)} names, in one storage: one parameter with one gradient"
            yield Accepted("tied weights", names, why)


def _frozen_copies(trace: Trace) -> Iterator[Accepted]:
    """Equal content, of which one side takes no gradient: a target network, a teacher."""
    trainable = {fact.name for fact in trace.parameters if fact.requires_grad}
    for group in trace.symmetry.siblings:
        learning = [name for name in group.parameters if name in trainable]
        if group.is_frozen and len(learning) == 1:
            why = "equal numbers in different storage, and only the first takes a gradient: they part at step 1"
            frozen = tuple(name for name in group.parameters if name not in trainable)
            yield Accepted("frozen copy", (*learning, *frozen), why)


def _padding_rows(trace: Trace) -> Iterator[Accepted]:
    """A row that the lookup excludes from the gradient, and that is zero."""
    facts = {fact.name: fact for fact in trace.parameters}
    for name, uses in readings(trace).items():
        for operation, use in uses:
            row, size = operation.attributes.get("padding_idx"), operation.attributes.get("padding_rms")
            fact = facts.get(name)
            if use.slot != "table" or not isinstance(row, int) or size != 0.0 or fact is None or fact.is_zero:
                continue
            norms = fact.gradient.row_norm if fact.gradient is not None else ()
            if len(norms) == fact.shape[0] and norms[row % len(norms)] == 0.0:
                why = f"row {row % len(norms)} stands for padding: it is 0, and no gradient reaches it"
                yield Accepted("padding row", (name,), why)
                break
