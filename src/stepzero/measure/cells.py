"""Recurrent cells in one call: the part of their packed biases that feeds the tanh, against what the weights bring."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.uses import live_inputs

_TANH_SLICE = {"lstm": 2, "lstm_cell": 2, "gru": 2, "gru_cell": 2, "rnn_tanh": 0, "rnn_tanh_cell": 0}
"""Which of the packed slices is squashed by tanh; the others are gates."""
_GATES = {"lstm": (0, 1, 3), "gru": (0, 1)}
"""Which of the packed slices are gates."""
_LARGEST = 1.0
"""Bound of the hidden state that deeper layers read: tanh times a gate."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Cell inputs of one layer and direction."""

    parameter: str
    """The bias vector that holds most of it."""
    bias: tuple[float, ...]
    """Sum of both bias vectors, the slice behind the tanh."""
    drive: tuple[float, ...]
    """Rms of W x as the law of the weights gives it: rms(w) sqrt(fan in) rms(x), the same for every unit."""


def candidates(trace: Trace, operation: Operation, facts: dict[str, TensorFact]) -> Iterator[Candidate]:
    """One `Candidate` a layer and direction of a recurrent call; nothing for other operations."""
    if operation.name not in _TANH_SLICE:
        return
    place, size = _TANH_SLICE[operation.name], _input_rms(trace, operation)
    for index, (weight, biases) in enumerate(_layers(operation.uses)):
        fact, values = facts.get(weight.parameter), [_slice(facts.get(use.parameter), use, place) for use in biases]
        if fact is None or weight.fan_in is None or not values or not all(values):
            continue
        total = tuple(map(sum, zip(*values, strict=True)))
        loudest = max(range(len(values)), key=lambda number: sum(map(abs, values[number])))
        drive = fact.rms * math.sqrt(weight.fan_in) * (size if index == 0 and size is not None else _LARGEST)
        yield Candidate(biases[loudest].parameter, total, (drive,) * len(total))


def gate_biases(operation: Operation, facts: dict[str, TensorFact]) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Sum of both bias vectors over each gate of a recurrent call, by the vector that holds most of it."""
    places = _GATES.get(operation.name.removesuffix("_cell"), ())
    for _, biases in _layers(operation.uses):
        for place in places:
            values = [_slice(facts.get(use.parameter), use, place) for use in biases]
            if values and all(values):
                loudest = max(range(len(values)), key=lambda number: sum(map(abs, values[number])))
                yield biases[loudest].parameter, tuple(map(sum, zip(*values, strict=True)))


def _layers(uses: tuple[ParameterUse, ...]) -> Iterator[tuple[ParameterUse, list[ParameterUse]]]:
    """Each input weight with the biases that follow it."""
    weight: ParameterUse | None = None
    biases: list[ParameterUse] = []
    for use in uses:
        if use.slot == "weight":
            if weight is not None:
                yield weight, biases
            weight, biases = use, []
        elif use.slot == "bias":
            biases.append(use)
    if weight is not None:
        yield weight, biases


def _slice(fact: TensorFact | None, use: ParameterUse, place: int) -> list[float]:
    values = list(fact.values) if fact is not None else []
    width = len(values) // use.blocks
    return values[place * width : (place + 1) * width]


def _input_rms(trace: Trace, operation: Operation) -> float | None:
    """Rms of what the first layer reads, as measured on the nearest operation in front."""
    while sources := live_inputs(trace, operation):
        operation = sources[0]
        if operation.forward is not None:
            return operation.forward.rms
    return None
