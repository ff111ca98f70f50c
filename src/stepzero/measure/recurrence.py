"""Recurrences that a model writes out step by step, h = a h + b: found in the dataflow, with their decays a."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, TensorFact, Trace

_CLEAR = ("view", "dropout")
_MAPS: dict[str, Callable[[float], float]] = {
    "exp": math.exp,
    "neg": lambda x: -x,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "logsigmoid": lambda x: min(x, 0.0) - math.log1p(math.exp(-abs(x))),
}
"""Maps from a raw parameter to its decay, worked out again; the smallest and largest number stand for the rest."""
_REACH = 64
"""Operations looked at above a decay."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """One state that is multiplied by a decay and added to, step after step, in one module."""

    operation: Operation
    """The product of the state with the decay, in the second step."""
    parameters: tuple[str, ...]
    """What the decay is computed from, the nearest first."""
    keep: tuple[float, ...]
    """Effective decay of each channel: its mean over the batch, or its value where the batch has no part in it."""
    steps: int
    is_gate: bool
    """Whether the decay is the output of a sigmoid of the batch: a gate, whose bias sets it."""


def recurrences(trace: Trace) -> Iterator[Recurrence]:
    """Each recurrence once; three steps at least, whose decays come from the same parameters."""
    graph, facts = Graph(trace), {fact.name: fact for fact in trace.parameters}
    states = dict(_states(graph))
    earlier = {product: _product_in(graph, total, states) for product, total in states.items()}
    begun: set[int] = set()
    for end in sorted(states, reverse=True):
        chain = [end]
        while (before := earlier[chain[-1]]) is not None:
            chain.append(before)
        if len(chain) > 2 and chain[-1] not in begun:
            found = _recurrence(graph, chain[::-1], states, facts)
            if found is not None:
                begun.add(chain[-1])
                yield found


def _states(graph: Graph) -> Iterator[tuple[int, int]]:
    """(product, the sum it reads), where that sum is itself of a product of the same module and shape."""
    for total in graph.trace.operations:
        if total.kind != "add" or not total.from_input:
            continue
        if any(_is_step(_through(graph, source), total) for source in total.inputs):
            for product in _beyond(graph, total.index):
                if _is_step(product, total):
                    yield product.index, total.index


def _is_step(product: Operation, total: Operation) -> bool:
    return product.kind == "multiply" and (product.module, product.shape) == (total.module, total.shape)


def _product_in(graph: Graph, total: int, states: dict[int, int]) -> int | None:
    """The product in a sum that reads an earlier state."""
    sources = (_through(graph, source).index for source in graph.trace.operations[total].inputs)
    return next((source for source in sources if source in states), None)


def _beyond(graph: Graph, index: int) -> Iterator[Operation]:
    """Readers of a result, through views."""
    for reader in graph.readers[index]:
        operation = graph.trace.operations[reader]
        if operation.kind in _CLEAR:
            yield from _beyond(graph, reader)
        else:
            yield operation


def _recurrence(
    graph: Graph, chain: list[int], states: dict[int, int], facts: dict[str, TensorFact]
) -> Recurrence | None:
    """``chain``: products in the order of the steps; the last may be a reader of the state that is no step."""
    products = [graph.trace.operations[index] for index in chain]
    sources = [_sources(graph, product, states[product.index]) for product in products]
    if len(sources) > 2 and sources[-1][1] != sources[0][1]:
        products, sources = products[:-1], sources[:-1]
    if not sources[0][1] or len(sources) < 2 or any(source[1] != sources[0][1] for source in sources):
        return None
    decays = [source[0] for source in sources]
    measured = [decay for decay in decays if decay is not None and decay.forward is not None]
    keep = _measured(measured) if measured else _worked_out(graph, products[0], decays[0], facts)
    is_gate = bool(measured) and measured[0].name == "sigmoid"
    return Recurrence(products[0], sources[0][1], keep, len(products) + 1, is_gate) if keep else None


def _sources(graph: Graph, product: Operation, state: int) -> tuple[Operation | None, tuple[str, ...]]:
    """The decay's operation, through views, and the parameters behind it; weights end the search."""
    operations = graph.trace.operations
    others = [index for index in product.inputs if _through(graph, index).index != state]
    decay = _through(graph, others[0]) if len(others) == 1 else None
    found = [use.parameter for use in product.uses]
    queue = [decay.index] if decay is not None else []
    for index in queue:  # grows while it is read
        operation = operations[index]
        found += [use.parameter for use in operation.uses]
        if operation.kind != "weighted" and len(queue) < _REACH:
            queue += [source for source in operation.inputs if source not in queue]
    return decay, tuple(dict.fromkeys(found))


def _through(graph: Graph, index: int) -> Operation:
    operation = graph.trace.operations[index]
    while operation.kind in _CLEAR and len(operation.inputs) == 1:
        operation = graph.trace.operations[operation.inputs[0]]
    return operation


def _measured(decays: list[Operation]) -> tuple[float, ...] | None:
    """Mean by channel, which is no less than the typical one: that is the mean of its logarithm."""
    decay = decays[0]
    if decay.name not in ("exp", "sigmoid") or decay.forward is None:
        return None
    return tuple(decay.forward.unit_mean)


def _worked_out(
    graph: Graph, product: Operation, decay: Operation | None, facts: dict[str, TensorFact]
) -> tuple[float, ...] | None:
    """Value by channel of a decay that is a parameter, or a known map of one."""
    maps: list[Callable[[float], float]] = []
    while decay is not None and decay.inputs:
        if decay.name not in _MAPS or len(decay.inputs) != 1:
            return None
        maps.append(_MAPS[decay.name])
        decay = graph.trace.operations[decay.inputs[0]]
    uses = decay.uses if decay is not None else product.uses
    if decay is not None and decay.kind not in _CLEAR:
        if decay.name not in _MAPS:
            return None
        maps.append(_MAPS[decay.name])
    fact = facts.get(uses[0].parameter) if len(uses) == 1 else None
    if fact is None or (decay is None and uses[0].is_derived):
        return None
    values = tuple(fact.values) or ((fact.low,) if fact.is_constant else ())
    for each in reversed(maps):
        values = tuple(each(max(-700.0, min(700.0, value))) for value in values)
    return values or None
