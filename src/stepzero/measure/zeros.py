"""All-zero weights: which idiom they are part of, and the two proofs that one can never move.

Everything is found by structure and effect. A proof holds for every batch and loss; where none is found, nothing is
claimed: a zero that wakes after one step looks the same to everything weaker.
"""

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, ParameterUse, TensorFact
from stepzero.measure.uses import live_inputs, weight_use

HEAD = "zero head: the first predictions are neutral"
BRANCH = "last layer of a residual branch: the branch starts as the identity"
ADDED = "its result is added to another stream: it starts as no change"
TABLE = "zero table added to a stream: positions start alike"
LOOKUP = "zero embedding: what it adds is learnt from nothing"
LOGITS = "zero logits of a softmax: uniform weights"
GATE = "zero gate: what it multiplies is let in step by step"
STARTS_SMALL = frozenset([BRANCH, ADDED, GATE])
"""Parts in which a small factor is a careful start."""


def idiom(graph: Graph, operation: Operation, use: ParameterUse) -> str:
    """Words for the part a zero weight plays, by what its result meets first; empty when it is none that is known."""
    if operation.name.startswith("embedding"):
        return LOOKUP
    if operation.kind == "attention" or (operation.kind == "add" and use.slot == "table"):
        return TABLE
    words = met(graph, operation)
    if words and operation.kind != "weighted":
        return TABLE
    return HEAD if operation.role == "head" and words == "" else words


def met(graph: Graph, operation: Operation) -> str:
    """What the result meets first, through everything that is neither a weight nor a meeting."""
    seen, queue = {operation.index}, [operation.index]
    for index in queue:
        for reader in (graph.trace.operations[other] for other in graph.readers[index]):
            if words := _meeting(reader):
                return words
            if reader.index not in seen and reader.kind not in ("weighted", "norm", "loss") and not reader.in_loss:
                seen.add(reader.index)
                queue.append(reader.index)
    return ""


def _meeting(reader: Operation) -> str:
    if reader.in_loss:
        return ""
    if reader.role.endswith("residual"):
        return BRANCH
    if reader.role == "gate":
        return GATE
    if reader.kind in ("softmax", "attention"):
        return LOGITS
    return ADDED if reader.kind == "add" and reader.role == "" and len(reader.inputs) > 1 else ""


def is_shut(graph: Graph, operation: Operation) -> bool:
    """Whether all that reads the result, through views, is an activation with slope zero for every unit."""
    queue, is_read = [operation.index], False
    for index in queue:
        for reader in (graph.trace.operations[other] for other in graph.readers[index]):
            if reader.kind in ("view", "dropout"):
                queue.append(reader.index)
            elif reader.kind != "activation" or not _is_off(reader):
                return False
            else:
                is_read = True
    return is_read


def _is_off(activation: Operation) -> bool:
    signal = activation.forward
    return signal is not None and len(signal.off_share) > 0 and min(signal.off_share) >= 1.0


def stuck_by_kink(graph: Graph, operation: Operation) -> bool:
    """Proof 1: the result is the bias alone, and the activation that follows has slope zero there, for every unit."""
    if operation.consumer_index is None:
        return False
    activation = graph.trace.operations[operation.consumer_index]
    return activation.kind == "activation" and _is_off(activation) and _is_alone(graph, operation, activation)


def stuck_pair(graph: Graph, operation: Operation, facts: dict[str, TensorFact]) -> tuple[str, ...]:
    """Proof 2: zero weights above make the input exactly zero, and no parameter that could change that has a gradient.

    Returns the names of the zero weights above; empty when there is no proof.
    """
    causes: list[str] = []
    stack, seen = [operation], set[int]()
    while stack:
        sources = live_inputs(graph.trace, stack.pop())
        if not sources:
            return ()
        for source in sources:
            if not _is_fixed_at_zero(source, facts):
                return ()
            weight = weight_use(source)
            if weight is not None and (fact := facts.get(weight.parameter)) is not None and fact.is_zero:
                causes.append(weight.parameter)
            elif source.index not in seen:
                seen.add(source.index)
                stack.append(source)
    return tuple(dict.fromkeys(causes))


def is_live(fact: TensorFact | None) -> bool:
    """Whether a gradient arrives at the parameter."""
    return fact is not None and fact.gradient is not None and fact.gradient.norm != 0.0


def _is_fixed_at_zero(source: Operation, facts: dict[str, TensorFact]) -> bool:
    """Zero wherever it was looked at, not data, and nothing that enters it is about to move."""
    if source.name == "input" or (source.forward is not None and source.forward.rms != 0.0):
        return False
    return not any(is_live(facts.get(use.parameter)) for use in source.uses)


def _is_alone(graph: Graph, operation: Operation, activation: Operation) -> bool:
    """Whether the activation reads nothing but ``operation``, through views and biases."""
    current = activation
    while len(sources := live_inputs(graph.trace, current)) == 1:
        current = sources[0]
        if current.index == operation.index:
            return True
        if current.kind not in ("view", "dropout") and current.role not in ("bias", "scale"):
            return False
    return False
