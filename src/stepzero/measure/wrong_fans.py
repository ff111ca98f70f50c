"""Which law a weight was drawn by, when it is the right formula with a wrong fan.

Legend: n true fan in, m true fan out, s standard deviation of the weight. A *reading* is a fan that somebody may take
for n: from the stored shape alone, without the groups, and so on.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.uses import weight_use

GAINS = {"He": math.sqrt(2.0), "LeCun": 1.0, "torch's default": math.sqrt(1 / 3)}
"""Laws of the form gain / sqrt(fan)."""
_ROUND = (1.0, 2.0, 5.0, 10.0)
"""First digits of standard deviations that people choose by hand."""
_ERRORS = 3.0
"""Half width of a sampling interval, in standard errors: std (1 +- 3 / sqrt(2 k)) for k elements."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Weights of one shape, used in one way: pooled, because they were drawn alike."""

    facts: tuple[TensorFact, ...]
    operation: Operation
    use: ParameterUse
    std: float
    margin: float
    """Relative half width of the sampling interval of ``std``."""

    def fits(self, std: float) -> bool:
        """Whether the law's standard deviation lies inside the interval."""
        return abs(math.log(self.std / std)) <= self.margin


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong reading of the fan that explains the draw."""

    draw: Draw
    reading: str
    law: str
    wrong: float
    right: float


def draws(trace: Trace) -> list[Draw]:
    """Random trainable weights with a known true fan, pooled by shape, operation and groups."""
    facts = {fact.name: fact for fact in trace.parameters}
    pools: dict[tuple[object, ...], list[tuple[TensorFact, Operation, ParameterUse]]] = {}
    seen: set[str] = set()
    for operation in trace.weighted():
        use = weight_use(operation)
        fact = facts.get(use.parameter) if use is not None else None
        if use is None or fact is None or fact.name in seen or not _is_drawn(use, fact):
            continue
        seen.add(fact.name)
        key = (fact.shape, operation.name, operation.attributes.get("groups"), use.fan_in, use.fan_out)
        pools.setdefault(key, []).append((fact, operation, use))
    return [draw for members in pools.values() for draw in _alike(members)]


def _is_drawn(use: ParameterUse, fact: TensorFact) -> bool:
    is_whole = not use.is_derived and use.part is None and use.blocks == 1
    return (
        use.slot == "weight" and is_whole and bool(use.fan_in and use.fan_out) and fact.requires_grad and fact.std > 0
    )


def _alike(members: list[tuple[TensorFact, Operation, ParameterUse]]) -> Iterator[Draw]:
    """One pool, unless its members were drawn on different scales: then each by itself."""
    stds = [fact.std for fact, *_ in members]
    widest = max(_ERRORS / math.sqrt(2 * fact.sample) for fact, *_ in members)
    if max(stds) / min(stds) > math.exp(2 * widest):
        yield from (_pooled([member]) for member in members)
    else:
        yield _pooled(members)


def _pooled(members: list[tuple[TensorFact, Operation, ParameterUse]]) -> Draw:
    count = sum(fact.sample for fact, *_ in members)
    square = sum(fact.std**2 * fact.sample for fact, *_ in members) / count
    _, operation, use = members[0]
    return Draw(tuple(fact for fact, *_ in members), operation, use, math.sqrt(square), _ERRORS / math.sqrt(2 * count))


def is_lawful(draw: Draw) -> bool:
    """Whether a law with the true fans explains the draw, or it is a round number that needs no law.

    The fan out counts as a true fan only where nobody can take it for the fan in: read off the stored shape, the
    fan in of a matrix used as ``x @ W`` *is* its fan out, and so is that of a transposed convolution.
    """
    n, m = draw.use.fan_in or 1.0, draw.use.fan_out or 1.0
    shape = draw.facts[0].shape
    is_mistakable = shape[1] * math.prod(shape[2:]) == m != n
    fans: tuple[float, ...] = (n,) if is_mistakable else (n, m)
    if len(shape) == 2:
        fans = (*fans, max(shape))  # orthogonal rows or columns
    laws = [gain / math.sqrt(fan) for gain in GAINS.values() for fan in fans]
    power = 10.0 ** math.floor(math.log10(draw.std))
    return any(draw.fits(std) for std in [*laws, math.sqrt(2 / (n + m)), *(power * digit for digit in _ROUND)])


def mistakes(draw: Draw) -> Iterable[Mistake]:
    """Every wrong reading, with every law, that explains the draw."""
    right = draw.use.fan_in or 1.0
    for reading, wrong in _readings(draw):
        for law, gain in GAINS.items():
            if draw.fits(gain / math.sqrt(wrong)):
                yield Mistake(draw, reading, law, wrong, right)


def _readings(draw: Draw) -> Iterator[tuple[str, float]]:
    """Fans as they are misread, where they differ from the true fan in."""
    shape, right = draw.facts[0].shape, draw.use.fan_in
    field = math.prod(shape[2:])
    groups = draw.operation.attributes.get("groups", 1)
    if shape[1] * field != right:
        yield "axis 1 of the stored tensor", float(shape[1] * field)
    if isinstance(groups, int) and groups > 1 and not draw.operation.name.startswith("conv_transpose"):
        yield "the fan in without the groups", float(shape[1] * groups * field)
        if shape[0] != shape[1] * groups:
            yield "the fan out without the groups", float(shape[0] * field)
