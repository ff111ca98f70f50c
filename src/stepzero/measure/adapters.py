"""Low-rank adapters, by structure: a product of trainable factors beside a frozen weight that reads the same input."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepzero.core.trace import Operation, Signal
from stepzero.measure.meetings import Meeting, ZeroPaths
from stepzero.measure.uses import WEIGHTS, live_inputs, units, weight_use

_PLAIN = frozenset(["view", "dropout"])
_SCALES = (*WEIGHTS, "gain")
_LEAST = 1e-3
"""Cosine of two vectors of which one says something of the other."""
_RECURRENT = frozenset("lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell".split())


@dataclass(frozen=True, slots=True)
class Pair:
    """A low-rank pair beside a frozen weight: y = W x + B A x."""

    parameters: tuple[str, ...]
    """Weights and gains of the pair, in the order in which the signal meets them: A first, B last."""
    base: Operation
    """W x, with its bias."""
    branch: Operation
    """B A x as it is added, as far as it was measured."""
    last: Operation
    """The operation that reads B."""

    @property
    def share(self) -> float | None:
        """Rms of the pair's result over rms of the base's; None when one is unknown or the base is silent."""
        base, branch = self.base.forward, self.branch.forward
        return branch.rms / base.rms if base is not None and branch is not None and base.rms > 0.0 else None


def pairs(paths: ZeroPaths) -> Iterator[Pair]:
    """Every low-rank pair that is added to what a frozen weight returns for the same input."""
    trace = paths.graph.trace
    for added in trace.operations:
        sources = live_inputs(trace, added)
        if added.kind != "add" or len(sources) < 2:
            continue
        for branch in sources:
            others = [source for source in sources if source is not branch]
            if (pair := _pair(paths, branch, others)) is not None:
                yield pair


def alignment(paths: ZeroPaths, pair: Pair) -> float | None:
    """Largest |cosine| x sqrt(units) between the base's mean response, its bias left out, and what the pair adds.

    About 1 for directions that know nothing of each other. A pair that was split off the base (singular vectors, a QR
    decomposition) spans output directions that the rest of the base does not reach, whatever the input is: rounding
    remains. None when that cannot be told. The pair's directions are the random projections of its responses.
    """
    base, branch = pair.base.forward, pair.branch.forward
    if base is None or branch is None or base.units != branch.units or base.units < 2:
        return None
    mean = _without_bias(paths, pair.base, base)
    if mean is None or not any(mean):
        return None
    numbers, width = branch.fingerprint.unpack(), branch.units
    cosines = (abs(_cosine(mean, numbers[at : at + width])) for at in range(0, len(numbers), width))
    largest = max(cosines, default=None)
    return None if largest is None else largest * math.sqrt(width)


def is_split_off(paths: ZeroPaths, pair: Pair, tolerance: float) -> bool:
    """Whether what the base returns in the pair's output directions is the pair's own result, times what is left of it.

    A factorisation Q R of the base takes s Q_r R_r off it and adds s Q_r R_r in the branch, s the scale of the adapter:
    for every input, what is left of the base along the branch is 1/s - 1 times the branch, however large s is. Where
    that is nothing, `alignment` tells. A random pair has another factor for each input, and one that was
    copied from the base without being taken off it has 1/s.
    """
    base, branch = pair.base.forward, pair.branch.forward
    if base is None or branch is None or (base.units, base.rows) != (branch.units, branch.rows) or base.units < 2:
        return False
    bias = _bias(paths, pair.base, base.units)
    if bias is None:
        return False
    width = base.units
    responses, added = _rows(base.fingerprint.unpack(), width), _rows(branch.fingerprint.unpack(), width)
    factors = []
    for place, own in enumerate(responses):
        tested = _without(bias, added[place], added[place - 1])
        size = _product(added[place], tested)
        if not abs(size) > _LEAST * math.hypot(*added[place]) * math.hypot(*tested):
            return False
        factors.append(_product(own, tested) / size)
    spread, middle = max(factors) - min(factors), sum(factors) / len(factors)
    if not spread <= tolerance * abs(middle):
        return False
    scale = _scale(pair)
    return middle < 0.0 or (scale is not None and abs(middle - (1.0 / scale - 1.0)) <= tolerance / scale)


def _rows(numbers: Sequence[float], width: int) -> list[Sequence[float]]:
    return [numbers[start : start + width] for start in range(0, len(numbers), width)]


def _without(offset: Sequence[float], one: Sequence[float], other: Sequence[float]) -> list[float]:
    """A sum of two vectors that an offset does not change, however much of it the responses hold; the first if none."""
    if not any(offset):
        return list(one)
    first, second = _product(offset, one), _product(offset, other)
    return [a * second - b * first for a, b in zip(one, other, strict=True)]


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def _scale(pair: Pair) -> float | None:
    """What multiplies the product of the factors before it is added; None when it was not measured."""
    last, branch = pair.last.forward, pair.branch.forward
    return branch.rms / last.rms if last is not None and branch is not None and last.rms > 0.0 < branch.rms else None


def _bias(paths: ZeroPaths, operation: Operation, width: int) -> list[float] | None:
    """The operation's own bias, zeros without one; None when it cannot be told."""
    found = [0.0] * width
    for use in operation.uses:
        if use.slot == "bias":
            values = paths.facts[use.parameter].values.unpack() if use.parameter in paths.facts else ()
            if len(values) != width or use.is_derived or use.part is not None:
                return None
            found = [value + offset for value, offset in zip(found, values, strict=True)]
    return found


def _without_bias(paths: ZeroPaths, operation: Operation, signal: Signal) -> list[float] | None:
    mean = signal.unit_mean.unpack()
    bias = _bias(paths, operation, len(mean))
    return None if bias is None else [value - offset for value, offset in zip(mean, bias, strict=True)]


def _cosine(first: Sequence[float], second: Sequence[float]) -> float:
    size = math.hypot(*first) * math.hypot(*second)
    return _product(first, second) / size if size > 0.0 else 0.0


def _pair(paths: ZeroPaths, branch: Operation, others: list[Operation]) -> Pair | None:
    factors = _factors_behind(paths, branch)
    if not factors:
        return None
    names = tuple(dict.fromkeys(use.parameter for each in factors for use in each.uses if use.slot in _SCALES))
    if not any(paths.facts[name].requires_grad for name in names if name in paths.facts):
        return None
    first = next(each for each in factors if each.kind == "weighted")
    last = next(each for each in reversed(factors) if each.kind == "weighted")
    base, measured = _frozen_among(paths, others, _root(paths, first)), _measured(paths, branch)
    return Pair(names, base, measured, last) if base is not None and measured is not None else None


def _factors_behind(paths: ZeroPaths, branch: Operation) -> list[Operation]:
    """What multiplies the signal on its way to ``branch``, first to last; empty unless that is a low-rank product."""
    chain = _straight(paths, branch)
    weighted = [each for each in chain if each.kind == "weighted"]
    if not weighted:
        return []
    last = weighted[0]
    if sum(use.slot in WEIGHTS for use in last.uses) > 1:  # both factors stand in one contraction
        return chain[::-1] if last.name not in _RECURRENT else []
    sources = live_inputs(paths.graph.trace, last)
    before = _straight(paths, sources[0]) if len(sources) == 1 else []
    first = before[-1] if before and before[-1].kind == "weighted" else None
    use = weight_use(first) if first is not None else None
    if first is None or use is None or use.fan_in is None:
        return []
    return [*before[::-1], *chain[::-1]] if units(first) < min(units(last), use.fan_in) else []


def _straight(paths: ZeroPaths, operation: Operation) -> list[Operation]:
    """From ``operation`` back to the weight its signal comes from, through views, dropout, factors and biases."""
    chain = [operation]
    while operation.kind in _PLAIN or operation.role in ("scale", "bias"):
        sources = live_inputs(paths.graph.trace, operation)
        if len(sources) != 1:
            return []
        operation = sources[0]
        chain.append(operation)
    return chain if operation.kind == "weighted" else []


def _frozen_among(paths: ZeroPaths, others: list[Operation], root: int | None) -> Operation | None:
    """A frozen weight's result for the input ``root`` among the terms of a sum, themselves sums perhaps."""
    queue = [] if root is None else list(others)
    for term in queue:
        chain = _straight(paths, term)
        if chain and _is_frozen_on(paths, chain[-1], root):
            return chain[-1]
        sources = live_inputs(paths.graph.trace, term)
        if term.kind == "add" and len(sources) > 1 and root is not None:
            queue += [source for source in sources if source.index > root and source not in queue]
    return None


def _measured(paths: ZeroPaths, branch: Operation) -> Operation | None:
    return next((each for each in _straight(paths, branch) if each.forward is not None), None)


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
