"""SZ604."""

import math
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.cells import keepers, sequence_length
from stepzero.measure.recurrence import recurrences


class Memory(NamedTuple):
    """Memories of the units of one layer and direction, in steps."""

    parameters: tuple[str, ...]
    longest: float
    typical: float


@rule("SZ604", "short-memory-gate", tier=2, limits=("memory_low", "memory_sequence"))
def short_memory_gate(trace: Trace, limits: Limits) -> Verdict:
    """A gated recurrence forgets within two steps, or only some of its layers were given a longer memory.

    What it finds
    -------------
    The memory tau = -1 / ln(sigmoid(b)) of each unit of an LSTM or GRU, with b the sum of both bias vectors of the
    forget or update gate; of gates that a model writes out, from what the gate lets through. A note when no unit of a
    layer reaches two steps and the sequence is longer than 20. A warning when other layers or directions of the same
    cell do: the bias was set in a part of them.

    Why it matters
    --------------
    At a bias of zero half of the state is lost in each step, and so is half of the gradient to earlier steps. What lies
    twenty steps back is learned late or not at all.

    When it is fine
    ---------------
    It is torch's default, and short dependencies are learned all the same: hence a note. Recurrences without a gate are
    judged by SZ318.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.LSTM(8, 16, num_layers=2, batch_first=True)
        for name, parameter in model.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
        nn.init.ones_(model.bias_hh_l0.data[16:32])
        return model, torch.randn(4, 50, 8), lambda output: output[0].square().mean()

    expected = ("bias_ih_l1",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.LSTM(8, 16, num_layers=2, batch_first=True)
        for name, parameter in model.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            if "bias_hh" in name:
                nn.init.ones_(parameter.data[16:32])
        return model, torch.randn(4, 50, 8), lambda output: output[0].square().mean()

    Fix
    ---
    Set the forget slice of one of the two bias vectors to 1 in every layer and direction, or to log u with u drawn from
    U(1, T - 1) for memories up to T steps.

    References
    ----------
    Jozefowicz et al. 2015; Tallec & Ollivier 2018; google-research/flood-forecasting#289.
    """
    facts = {fact.name: fact for fact in trace.parameters}
    calls = Counter(use.parameter for operation in trace.operations for use in operation.uses)
    found: dict[tuple[str, ...], Finding] = {}
    for operation in trace.operations:
        layers = list(_layers(operation, facts))
        is_partly_set = any(layer.typical >= limits.memory_low for layer in layers)
        steps = sequence_length(trace, operation, calls) if layers else 0
        for layer in layers:
            if layer.longest < limits.memory_low and (is_partly_set or steps > limits.memory_sequence):
                found.setdefault(layer.parameters, _finding(operation, layer, limits, is_partly_set=is_partly_set))
    for gate in recurrences(trace):
        layer = _memory(gate.parameters, gate.keep)
        if gate.is_gate and gate.steps > limits.memory_sequence and layer.longest < limits.memory_low:
            found.setdefault(layer.parameters, _finding(gate.operation, layer, limits, is_partly_set=False))
    yield from found.values()


def _layers(operation: Operation, facts: dict[str, TensorFact]) -> Iterator[Memory]:
    for parameter, keep in keepers(operation, facts):
        yield _memory((parameter,), keep)


def _memory(parameters: tuple[str, ...], keep: tuple[float, ...]) -> Memory:
    steps = [0.0 if each <= 0.0 else math.inf if each >= 1.0 else -1 / math.log(each) for each in keep]
    return Memory(parameters, max(steps), median(steps))


def _finding(operation: Operation, layer: Memory, limits: Limits, *, is_partly_set: bool) -> Finding:
    others = "; other layers of the same cell reach further" if is_partly_set else ""
    return Finding(
        code="SZ604",
        name="short-memory-gate",
        severity="warning" if is_partly_set else "info",
        where=layer.parameters,
        message=f"the longest memory of the units is {layer.longest:.2g} steps (limit {limits.memory_low:g}){others}",
        value=layer.longest,
        limit=limits.memory_low,
        unit="steps",
        evidence="value",
        cause="scheme-incomplete" if is_partly_set else "",
        fix=Fix("set the forget slice of one bias vector to 1", layer.parameters[0], is_safe=False),
        citation="Jozefowicz et al. 2015",
        operation=operation.index,
    )
