"""The same parameter of repeated blocks: ``layers.0.up.weight``, ``layers.1.up.weight``, ..."""

from collections.abc import Iterator

from stepzero.core.trace import ParameterUse, TensorFact, Trace
from stepzero.measure.uses import readings

Place = tuple[str, str, tuple[int, ...], tuple[object, ...]]


def repeats(trace: Trace) -> Iterator[tuple[TensorFact, ...]]:
    """Groups of used parameters whose names differ in one number, by that number, with one shape and one role."""
    read = readings(trace)
    groups: dict[Place, dict[int, TensorFact]] = {}
    for fact in trace.parameters:
        uses = [use for _, use in read.get(fact.name, [])]
        parts = fact.name.split(".")
        for depth, part in enumerate(parts[:-1]):
            if part.isdecimal() and uses:
                key = ".".join(parts[:depth]), ".".join(parts[depth + 1 :]), fact.shape, _role(uses[0])
                groups.setdefault(key, {})[int(part)] = fact
    for members in groups.values():
        yield tuple(members[number] for number in sorted(members))


def _role(use: ParameterUse) -> tuple[object, ...]:
    return use.slot, use.axes, use.is_derived
