"""The batch as the first weights see it."""

import math

from stepzero.core.trace import Graph, InputFact, Operation
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
