"""Weights of residual branches, the last one of each and those before it, and which of them carry a depth factor."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import ParameterUse, TensorFact, Trace
from stepzero.measure.stream import Stream
from stepzero.measure.uses import feeding, weight_use

Size = Callable[[TensorFact, ParameterUse], float]

_SIZES: tuple[Size, ...] = (
    lambda fact, _: fact.std,
    lambda fact, use: fact.std * math.sqrt(use.fan_in or 1.0),
    lambda fact, use: fact.std * math.sqrt((use.fan_in or 1.0) + (use.fan_out or 1.0)),
)
"""What a scheme holds equal over weights of different shapes: the deviation itself, or that times a fan."""


_FEWEST = 64
"""Numbers from which a deviation is told to a quarter; below, any factor fits."""


@dataclass(frozen=True, slots=True)
class Factored:
    """Weights of one stream, told apart by whether they carry the depth ``factor``."""

    factor: float
    with_it: tuple[str, ...]
    """Last weights of a branch that carry it."""
    without: tuple[str, ...]
    """Last weights that are drawn like the others."""
    elsewhere: tuple[str, ...]
    """Other weights of the branches that carry it."""


def factored(trace: Trace, stream: Stream, *, tolerance: float) -> Factored | None:
    """Sort the weights of a stream; None where one law explains all, or where they follow no common scheme.

    Factors looked for are 1/sqrt(B) and 1/sqrt(2 B) at B branches. ``tolerance`` is relative, beside what the sample
    of a deviation is uncertain by.
    """
    if all(block.branch.kind == "norm" for block in stream.blocks):
        return None  # which takes any factor off again
    facts = {fact.name: fact for fact in trace.parameters}
    last, inner = (
        {name: use for name, use in weights.items() if name not in facts or facts[name].sample >= _FEWEST}
        for weights in _weights(trace, stream)
    )
    used = {name: (facts[name], use) for name, use in (last | inner).items() if name in facts and facts[name].std > 0.0}
    if not inner or any(name not in used for name in last):
        return None
    found: list[Factored] = []
    for size in _SIZES:
        sizes = {name: size(*each) for name, each in used.items()}
        rough = {name: tolerance + 3 / math.sqrt(2 * max(1, fact.sample)) for name, (fact, _) in used.items()}
        base = statistics.median_high([sizes[name] for name in inner if name in sizes])
        for factor in (len(stream.blocks) ** -0.5, (2 * len(stream.blocks)) ** -0.5):
            plain = {name for name in used if abs(sizes[name] / base - 1) < rough[name]}
            scaled = {name for name in used if abs(sizes[name] / base / factor - 1) < rough[name]}
            if len(plain | scaled) < len(used):
                continue
            if not scaled or last.keys() <= scaled:
                return None
            found.append(_sorted(factor, last, inner, scaled))
    return found[0] if found else None


def _sorted(factor: float, last: dict[str, ParameterUse], inner: dict[str, ParameterUse], scaled: set[str]) -> Factored:
    return Factored(
        factor,
        tuple(name for name in last if name in scaled),
        tuple(name for name in last if name not in scaled),
        tuple(name for name in inner if name in scaled),
    )


def _weights(trace: Trace, stream: Stream) -> tuple[dict[str, ParameterUse], dict[str, ParameterUse]]:
    """Last weight of each branch, and the other weights between a block's entry and its sum."""
    graph = Graph(trace)
    last: dict[str, ParameterUse] = {}
    inner: dict[str, ParameterUse] = {}
    for block in stream.blocks:
        ends = feeding(trace, block.branch)[:1]
        inside = graph.between(block.entry.index, block.branch.index)
        for index in sorted(inside - {block.entry.index}):
            operation = trace.operations[index]
            use = weight_use(operation) if operation.kind == "weighted" else None
            if use is not None and use.slot == "weight" and not use.is_derived:
                (last if use.parameter in ends else inner)[use.parameter] = use
    return last, {name: use for name, use in inner.items() if name not in last}
