"""SZ703."""

from collections import Counter

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.activations import slope_through
from stepzero.measure.biases import offsets
from stepzero.measure.cells import Valve, sequence_length, valves
from stepzero.measure.gates import is_elementwise_gate
from stepzero.measure.uses import before, place_of

_GATES = frozenset(["sigmoid", "hardsigmoid"])


@rule("SZ703", "closed-gate", tier=2, limits=("gate_closed", "gate_slope", "gate_min_rows"))
def closed_gate(trace: Trace, limits: Limits) -> Verdict:
    """A gate starts shut for every sample, and hardly any gradient passes to open it.

    What it finds
    -------------
    A sigmoid that multiplies another signal and is below 0.01 in every unit at every position, while less than a
    twenty-fifth of its gradient passes. In an LSTM or GRU that runs as one call, the same from the sum of both bias
    vectors: an output gate below 0.01, or an input or update gate that over the whole sequence lets less than 0.01 of
    its input into the state, in every unit.

    Why it matters
    --------------
    What stands behind the gate reads a signal a hundred times too small, what stands in front of it gets a gradient as
    small, and the slope that would open the gate is as small as the gate itself.

    When it is fine
    ---------------
    A bias of -1 to -3 starts a gate shut on purpose, at 0.27 to 0.05, and it opens: that is an accepted idiom, and so
    is a forget gate at +1. A forget gate that is shut forgets, but shuts nothing. An input gate as small as what the
    forget gate drops keeps a slow average. A gate that is exactly 0 is told by the wake-up rules, and an output that a
    sigmoid weighs (a score, a prior of 0.01) is a head. Gates that are frozen were shut by somebody else. Cells with
    more than 1,024 units a layer are not read.

    Bad
    ---
    import torch
    from torch import nn

    class Highway(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.change, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)
            nn.init.constant_(self.gate.bias, -10.0)

        def forward(self, x):
            gate = torch.sigmoid(self.gate(x))
            return self.head(gate * torch.relu(self.change(x)) + (1 - gate) * x)

    def build():
        torch.manual_seed(0)
        return Highway(), torch.randn(32, 16)

    expected = ("gate.bias",)

    Good
    ----
    import torch
    from torch import nn

    class Highway(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.change, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)
            nn.init.constant_(self.gate.bias, -2.0)

        def forward(self, x):
            gate = torch.sigmoid(self.gate(x))
            return self.head(gate * torch.relu(self.change(x)) + (1 - gate) * x)

    def build():
        torch.manual_seed(0)
        return Highway(), torch.randn(32, 16)

    Fix
    ---
    Start the bias of the gate at zero, or between -1 and -3 where it shall start nearly shut.

    References
    ----------
    Srivastava et al. 2015 (highway networks); Jozefowicz et al. 2015; Tallec & Ollivier 2018.
    """
    graph, facts = Graph(trace), {fact.name: fact for fact in trace.parameters}
    calls = Counter(use.parameter for operation in trace.operations for use in operation.uses)
    found: dict[tuple[str, ...], Finding] = {}
    for operation in trace.operations:
        if operation.name in _GATES and _is_shut(graph, operation, limits):
            place = place_of(trace, operation)
            if _is_trained(place, facts):
                found.setdefault(place, _of_activation(trace, operation, facts, limits))
        for valve in valves(trace, operation, facts, sequence_length(trace, operation, calls)):
            if valve.passes < limits.gate_closed and _is_trained((valve.parameter,), facts):
                found.setdefault((valve.parameter, valve.gate), _of_cell(operation, valve, limits))
    yield from found.values()


def _is_shut(graph: Graph, operation: Operation, limits: Limits) -> bool:
    signal = operation.forward
    if signal is None or signal.high is None or signal.rows < limits.gate_min_rows or signal.samples < 2:
        return False
    if not 0.0 < signal.high < limits.gate_closed or not is_elementwise_gate(graph, operation.index):
        return False
    passed = slope_through(graph.trace, operation)
    return passed is not None and passed < limits.gate_slope


def _is_trained(place: tuple[str, ...], facts: dict[str, TensorFact]) -> bool:
    return any(facts[name].requires_grad for name in place if name in facts)


def _of_activation(trace: Trace, operation: Operation, facts: dict[str, TensorFact], limits: Limits) -> Finding:
    source, signal = before(trace, operation), operation.forward
    shifted = offsets(trace, source, facts) if source is not None and source.shape == operation.shape else None
    value = signal.high if signal is not None and signal.high is not None else 0.0
    passed = slope_through(trace, operation) or 0.0
    words = "set the bias of the gate to zero"
    fix = Fix(words, parameter=shifted.parameter, scheme="zeros", is_safe=True) if shifted else None
    return _finding(
        place_of(trace, operation),
        operation,
        f"the gate ({operation.name}) is at most {value:.2g} for every sample and passes {passed:.2g} of its gradient",
        value,
        limits,
        fix,
    )


def _of_cell(operation: Operation, valve: Valve, limits: Limits) -> Finding:
    what = "of the state into the result" if valve.gate == "output" else "of the input into the state over the sequence"
    return _finding(
        (valve.parameter,),
        operation,
        f"the {valve.gate} gate of {operation.name} lets at most {valve.passes:.2g} {what}, by its bias",
        valve.passes,
        limits,
        Fix(f"set the slice of the {valve.gate} gate to zero", parameter=valve.parameter, scheme="law", is_safe=True),
    )


def _finding(
    where: tuple[str, ...], operation: Operation, said: str, value: float, limits: Limits, fix: Fix | None
) -> Finding:
    return Finding(
        code="SZ703",
        name="closed-gate",
        severity="warning",
        where=where,
        message=f"{said}; the limit is {limits.gate_closed:g}",
        value=value,
        limit=limits.gate_closed,
        unit="share let through",
        evidence="value",
        cause="bias-offset",
        fix=fix,
        citation="Srivastava et al. 2015",
        operation=operation.index,
    )
