"""What the first updates do: how far they move a parameter, and which symmetries they keep."""

from collections.abc import Iterable
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.optimizer import OptimizerFact
from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.laws import has_factor
from stepzero.measure.layers import law_std
from stepzero.measure.uses import weight_use


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast gradient descent turns one weight over."""

    fact: TensorFact
    operation: Operation
    value: float
    """rms(gradient) / rms(weight): what an update of learning rate 1 moves, relative."""
    scale: float
    """In front of a norm std(weight) over that of its law, elsewhere 1.

    A norm takes the weight's scale s away, so the loss is the same for all s and its gradient goes as 1/s: what is s
    times as large as its law moves 1/s^2 times as fast as drawn by it, exactly (van Laarhoven 2017).
    """


def paces(trace: Trace) -> list[Pace]:
    """Of every trained weight that a gradient reaches, in execution order; lookups and derived weights left out."""
    graph, facts = Graph(trace), {fact.name: fact for fact in trace.parameters}
    found: dict[str, Pace] = {}
    for operation in trace.weighted():
        use = weight_use(operation)
        fact = facts.get(use.parameter) if use is not None and use.slot == "weight" else None
        if use is None or fact is None or not fact.requires_grad or fact.gradient is None or use.is_derived:
            continue
        if fact.rms > 0.0 and fact.gradient.rms > 0.0:
            pace = fact.gradient.rms / fact.rms
            found.setdefault(fact.name, Pace(fact, operation, pace, _scale(graph, operation, use, fact)))
    return list(found.values())


def _scale(graph: Graph, operation: Operation, use: ParameterUse, fact: TensorFact) -> float:
    law = law_std(use)
    if operation.consumer != "norm" or not law or has_factor(graph, operation):
        return 1.0
    return fact.std / law


def extreme_updates(trace: Trace, names: Iterable[str], lr: float) -> tuple[float, float] | None:
    """(least, largest) of ``lr * rms(gradient) / rms(value)`` over the named parameters that have both."""
    wanted = set(names)
    updates = [
        lr * fact.gradient.rms / fact.rms
        for fact in trace.parameters
        if fact.name in wanted and fact.gradient is not None and fact.rms > 0.0
    ]
    return (min(updates), max(updates)) if updates else None


_OF_RATE = {
    **dict.fromkeys(["adam", "adamw", "nadam", "adamax", "sparseadam", "adagrad", "rprop", "lion"], 1.0),
    "rmsprop": 10.0,
}
"""Size of the first update in learning rates, where the gradient is divided by its own size: RMSprop's average starts
with a hundredth of it."""
_OF_GRADIENT = frozenset(["", "sgd", "asgd", "radam"])
"""Those whose first update is the learning rate times the gradient."""
_EPS = 1e-8


def first_update(optimizer: OptimizerFact, rate: float, gradient: float) -> float | None:
    """Rms of the first update at a gradient of the given rms; None where the optimizer's law is not known."""
    kind = optimizer.name.lower()
    if kind in _OF_GRADIENT:
        return rate * gradient
    if kind not in _OF_RATE:
        return None
    eps = optimizer.eps if optimizer.eps is not None else _EPS
    return rate * _OF_RATE[kind] * gradient / (gradient + eps)


def is_adaptive(trace: Trace) -> bool:
    """Whether the optimizer told divides an update by the gradient's own size."""
    return trace.optimizer.is_adaptive


def breaks_sums(trace: Trace) -> str:
    """Words for an update that is nonlinear in single weights, so that equal sums part; empty when none was told."""
    if trace.optimizer.is_adaptive and trace.optimizer.coupled_decay:
        return f"{trace.optimizer.name} with weight decay {trace.optimizer.coupled_decay:g} in the gradient"
    return ""
