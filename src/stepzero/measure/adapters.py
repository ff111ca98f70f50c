"""Low-rank adapters, by structure: a product of trainable factors beside a frozen weight that reads the same input."""

from stepzero.core.trace import Operation
from stepzero.measure.meetings import Meeting, ZeroPaths
from stepzero.measure.uses import WEIGHTS, live_inputs, weight_use

_PLAIN = frozenset(["view", "dropout"])


def factors(paths: ZeroPaths, operation: Operation, met: set[Meeting]) -> tuple[str, ...]:
    """Trainable factors of the product that ``operation`` is part of; empty unless exactly one of them is zero.

    ``operation`` reads the zero factor. The product is added to what a frozen weight returns for the same input, or,
    computed from parameters alone, to the frozen weight itself.
    """
    names: list[str] = []
    if met == {"weight"} and _is_added_to_frozen(paths, operation):
        names = [use.parameter for use in operation.uses]
    elif met == {"stream"} and operation.kind == "weighted":
        chain = _chain(paths, operation)
        names = [use.parameter for each in chain for use in each.uses if use.slot in WEIGHTS]
        names = names if _stands_beside_frozen(paths, operation, chain[0]) else []
    facts = [paths.facts[name] for name in dict.fromkeys(names)]
    trainable = [fact for fact in facts if fact.requires_grad]
    num_zero = sum(fact.is_zero for fact in trainable)
    return tuple(fact.name for fact in trainable) if len(trainable) > 1 and num_zero == 1 else ()


def _is_added_to_frozen(paths: ZeroPaths, operation: Operation) -> bool:
    own = {use.parameter for use in operation.uses}
    added = {use.parameter for reader in _sums(paths, operation) for use in reader.uses} - own
    return len(added) > 0 and not any(paths.facts[name].requires_grad for name in added)


def _stands_beside_frozen(paths: ZeroPaths, operation: Operation, first: Operation) -> bool:
    """Whether every sum that the zero ends in adds a frozen weight's result for the input that ``first`` reads."""
    root = _root(paths, first)
    sums = _sums(paths, operation)
    return len(sums) > 0 and all(
        any(_is_frozen_on(paths, source, root) for source in live_inputs(paths.graph.trace, each)) for each in sums
    )


def _sums(paths: ZeroPaths, operation: Operation) -> list[Operation]:
    zero = paths.passed(operation)
    readers = {reader for index in zero for reader in paths.graph.readers[index]} - zero
    return [paths.graph.trace.operations[index] for index in sorted(readers)]


def _chain(paths: ZeroPaths, operation: Operation) -> list[Operation]:
    """Weighted operations of the product, first to last: those that the zero silences, else the one in front of it."""
    zero = (paths.graph.trace.operations[index] for index in sorted(paths.passed(operation)))
    silenced = [each for each in zero if each.kind == "weighted"]
    if len(silenced) > 1 or sum(use.slot in WEIGHTS for use in operation.uses) > 1:
        return silenced  # all factors may stand in one contraction
    above = _weighted_above(paths, operation)
    return [above, operation] if above is not None else [operation]


def _weighted_above(paths: ZeroPaths, operation: Operation) -> Operation | None:
    root = _root(paths, operation)
    source = paths.graph.trace.operations[root] if root is not None else None
    return source if source is not None and source.kind == "weighted" else None


def _is_frozen_on(paths: ZeroPaths, source: Operation, root: int | None) -> bool:
    """Whether the signal comes straight from a frozen weight that reads ``root``."""
    while source.kind != "weighted" and len(sources := live_inputs(paths.graph.trace, source)) == 1:
        source = sources[0]
    use = weight_use(source)
    fact = paths.facts.get(use.parameter) if use is not None else None
    return fact is not None and not fact.requires_grad and _root(paths, source) == root


def _root(paths: ZeroPaths, operation: Operation) -> int | None:
    """The operation whose result is read, up to views, dropout and constant factors."""
    while len(sources := live_inputs(paths.graph.trace, operation)) == 1:
        operation = sources[0]
        if operation.kind not in _PLAIN and not (operation.role == "scale" and not operation.uses):
            return operation.index
    return None
