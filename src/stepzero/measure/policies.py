"""Actor and critic: which head of a model proposes actions, told from a claim or from how its value head was drawn.

Orthogonal rows of gain 1 under one value, and small ones under the actions, are the recipe that most implementations
of policy gradients share (Andrychowicz et al. 2021; Huang et al. 2022, "37 implementation details"). A row of norm
exactly 1 is no draw from a law of independent entries: their norm misses 1 by 1/sqrt(2 n).
"""

import math
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.uses import units, weight_use

PROFILE = "rl"
"""What a user names who says that the model is a policy."""
_ENDS = frozenset(["weighted", "product", "attention"])
_CHOICES = frozenset(["softmax", "log_softmax", "logsumexp", "cross_entropy", "gumbel_softmax"])


@dataclass(frozen=True, slots=True)
class Policy:
    """One head that proposes actions."""

    operation: Operation
    fact: TensorFact
    is_choice: bool
    """Whether its results are logits of one choice; else they are taken for means of actions between -1 and 1."""

    @property
    def size(self) -> float:
        """Rms of its results, bias included."""
        return self.operation.forward.rms if self.operation.forward is not None else 0.0

    @property
    def entropy(self) -> float:
        """Of the choice, about, as a share of ln n: it loses s^2 / (2 ln n) for small logits of variance s^2."""
        signal, count = self.operation.forward, units(self.operation)
        if signal is None or count < 2:
            return 1.0
        spread = math.fsum(signal.unit_square) / count - signal.mean**2
        return 1.0 / (1.0 + max(0.0, spread) / 2 / math.log(count))


def policies(trace: Trace, *, roundoffs: float) -> list[Policy]:
    """Heads that propose actions, in execution order; none where nothing claims that there are any.

    ``roundoffs``: by how many roundings of float32 a row of norm 1 may miss it.
    """
    graph, facts = Graph(trace), {fact.name: fact for fact in trace.parameters}
    hidden = _hidden(graph)
    heads = [each for each in trace.weighted() if each.index not in hidden and _fact(facts, each) is not None]
    values = [each for each in heads if units(each) == 1]
    is_claimed = PROFILE in trace.profiles
    if not is_claimed and not any(_has_unit_row(_fact(facts, each), roundoffs) for each in values):
        return []
    inputs = {index for value in values for index in value.inputs}
    return [
        Policy(each, fact, _is_choice(graph, each))
        for each in heads
        if units(each) > 1 and (is_claimed or inputs.intersection(each.inputs)) and (fact := _fact(facts, each))
    ]


def _fact(facts: dict[str, TensorFact], operation: Operation) -> TensorFact | None:
    use = weight_use(operation)
    return facts.get(use.parameter) if use is not None and use.slot == "weight" and not use.is_derived else None


def _hidden(graph: Graph) -> set[int]:
    """Operations whose result some weight, product or attention of the model reads, at once or later."""
    found = set[int]()
    for operation in reversed(graph.trace.operations):
        readers = [graph.trace.operations[reader] for reader in graph.readers[operation.index]]
        if any(each.index in found or (each.kind in _ENDS and not each.in_loss) for each in readers):
            found.add(operation.index)
    return found


def _is_choice(graph: Graph, operation: Operation) -> bool:
    after = graph.downstream({operation.index})
    return any(graph.trace.operations[index].name in _CHOICES for index in after)


def _has_unit_row(fact: TensorFact | None, roundoffs: float) -> bool:
    if fact is None or fact.is_constant or fact.numel != fact.sample or fact.numel < 2:
        return False
    return abs(fact.rms * math.sqrt(fact.numel) - 1.0) <= roundoffs * 2.0**-24
