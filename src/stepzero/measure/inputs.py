"""The batch as the first weights see it."""

import math
import statistics
from typing import NamedTuple

from stepzero.core.graph import Graph
from stepzero.core.trace import InputFact, Operation
from stepzero.measure.uses import weight_use

_READ = 32
"""At most so many positions stand behind a channel's mean and spread."""
_PASSES = frozenset(["view", "join", "dropout"])


def first_layers(graph: Graph, argument: str) -> list[Operation]:
    """Weighted operations that read the input as it is, through views only: no norm, no rescaling, no lookup."""
    starts = [
        operation.index
        for operation in graph.trace.operations
        if operation.name == "input" and operation.attributes.get("argument") == argument
    ]
    found: dict[int, Operation] = {}
    seen, stack = set(starts), list(starts)
    while stack:
        for index in graph.readers[stack.pop()]:
            reader = graph.trace.operations[index]
            use = weight_use(reader)
            if reader.kind == "weighted" and use is not None and use.slot in ("weight", "recurrent"):
                found[index] = reader
            elif reader.kind in _PASSES and index not in seen:
                seen.add(index)
                stack.append(index)
    return [found[index] for index in sorted(found)]


def positions(fact: InputFact) -> int:
    """How many numbers stand behind one channel's statistics."""
    return min(_READ, math.prod(fact.shape) // max(1, len(fact.channel_mean))) if len(fact.channel_mean) else 0


class Spread(NamedTuple):
    """How far an input is from mean 0 and deviation 1, each number as close to that as its standard errors allow."""

    offset: float
    """Largest distance of a channel's mean from 0, in its own and in the typical deviation, whichever is larger."""
    largest: float
    """Largest deviation of a channel."""
    typical: float
    """Median deviation over channels."""


def spread_of_channels(fact: InputFact, errors: float) -> Spread | None:
    """Read the channels that are not constant, giving way by ``errors`` standard errors; None when all are constant."""
    count = positions(fact)
    channels = [pair for pair in zip(fact.channel_mean, fact.channel_std, strict=True) if pair[1] > 0.0]
    if not channels or count < 2:
        return None
    slack = 1 + errors / math.sqrt(2 * (count - 1))
    typical = statistics.median(std for _, std in channels)
    offset = max((abs(mean) - errors * std / math.sqrt(count)) / max(std, typical) for mean, std in channels)
    return Spread(offset / slack, max(std for _, std in channels) / slack, typical * slack)
