"""Biases that are set on purpose: the prior of the loss layer, and gates that start open or shut."""

import math
from collections.abc import Iterator, Sequence

from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.outcome import Accepted
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure import cells
from stepzero.measure.biases import bias_use, offsets
from stepzero.measure.gates import is_gate
from stepzero.measure.heads import loss_per_target
from stepzero.measure.uses import live_inputs


def accepted(trace: Trace, limits: Limits) -> Iterator[Accepted]:
    """One entry a bias that has a reason and a gradient."""
    facts, graph = {fact.name: fact for fact in trace.parameters}, Graph(trace)
    said: set[str] = set()
    for operation in trace.operations:
        for entry in (*_prior(graph, operation, facts, limits), *_gate(graph, operation, facts, limits)):
            if entry.where[0] not in said:
                said.add(entry.where[0])
                yield entry


def _prior(graph: Graph, operation: Operation, facts: dict[str, TensorFact], limits: Limits) -> Iterator[Accepted]:
    """The bias of the logits, when it outweighs what the weights bring and lowers the first loss."""
    use = bias_use(operation)
    fact = facts.get(use.parameter) if use is not None else None
    if operation.role not in ("head", "bias") or fact is None or not _is_live(fact):
        return
    loss = _loss_behind(graph, operation)
    value, guess = (loss_per_target(loss), _guess(loss)) if loss is not None else (None, None)
    if value is not None and guess is not None and value < guess and _dominates(graph.trace, operation, facts, limits):
        why = f"the first loss is {value:.3g} with it, and {guess:.3g} for a guess that knows no frequencies"
        yield Accepted("prior bias", (fact.name,), f"{why}; live at step 0")


def _guess(loss: Operation) -> float | None:
    """Loss of the guess that knows nothing: ln K, ln 2 for yes or no; None for losses that have none."""
    if loss.name.startswith("binary_cross_entropy"):
        return math.log(2.0)
    classes = loss.attributes.get("num_classes")
    return math.log(classes) if isinstance(classes, int) and classes > 1 else None


def _dominates(trace: Trace, operation: Operation, facts: dict[str, TensorFact], limits: Limits) -> bool:
    """Whether most units are more bias than response: a drawn bias is not."""
    found = offsets(trace, operation, facts)
    if found is None:
        return False
    loud = sum(abs(b) > drive for b, drive in zip(found.bias, found.drive, strict=True))
    return loud > limits.bias_share * len(found.bias)


def _loss_behind(graph: Graph, operation: Operation) -> Operation | None:
    """The loss that reads the result as its logits, through views."""
    queue = [operation.index]
    for index in queue:
        for reader in (graph.trace.operations[other] for other in graph.readers[index]):
            if reader.kind == "loss":
                return reader
            if reader.kind in ("view", "dropout") or reader.role == "bias":
                queue.append(reader.index)
    return None


def _gate(graph: Graph, operation: Operation, facts: dict[str, TensorFact], limits: Limits) -> Iterator[Accepted]:
    """A bias of one sign in front of a gate, in a recurrent cell or written out."""
    for name, values in cells.gate_biases(operation, facts):
        yield from _set_gate(facts[name], values, limits)
    use = bias_use(operation)
    fact = facts.get(use.parameter) if use is not None else None
    if fact is None or not _opens_a_gate(graph, operation):
        return
    yield from _set_gate(fact, fact.values.unpack() if len(fact.values) else (fact.low, fact.high), limits)


def _set_gate(fact: TensorFact, values: Sequence[float], limits: Limits) -> Iterator[Accepted]:
    if not _is_live(fact) or not _is_set(values, limits):
        return
    mean = sum(values) / len(values)
    way = "open" if mean > 0 else "shut"
    why = f"its units multiply another signal, and {mean:.3g} on average starts them towards {way}"
    yield Accepted("gate bias", (fact.name,), f"{why}; live at step 0")


def _is_set(values: Sequence[float], limits: Limits) -> bool:
    """One value that is not zero, or one sign over more units than chance gives."""
    if not values or min(values) <= 0.0 <= max(values):
        return False
    return min(values) == max(values) or len(values) > limits.constant_min_elements


def _opens_a_gate(graph: Graph, operation: Operation) -> bool:
    """Whether an activation reads the result and multiplies another signal element by element."""
    if operation.consumer_index is None and operation.role != "bias":
        return False
    readers = [graph.trace.operations[index] for index in graph.readers[operation.index]]
    active = [reader for reader in readers if reader.kind == "activation"]
    return bool(active) and all(is_gate(graph, reader.index) and _is_factor(graph, reader) for reader in active)


def _is_factor(graph: Graph, activation: Operation) -> bool:
    """Whether one signal it is multiplied with is not the one it was computed from (that is an activation by hand)."""
    sources = {source.index for source in live_inputs(graph.trace, activation)}
    products = [graph.trace.operations[index] for index in graph.readers[activation.index]]
    return any(product.role == "gate" and not sources.intersection(product.inputs) for product in products)


def _is_live(fact: TensorFact) -> bool:
    return fact.requires_grad and fact.gradient is not None and fact.gradient.norm > 0.0
