"""Recurrent cells in one call: what their packed biases do to the units behind the tanh and to the gates."""

import math
from collections import Counter
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


@dataclass(frozen=True, slots=True)
class Valve:
    """One gate of one layer and direction."""

    parameter: str
    """The bias vector that holds most of its sum."""
    gate: str
    """input | output | update."""
    passes: float
    """Share it lets through in the unit that lets most: of the cell input into the state over the whole sequence, or
    of the state into the result."""


@dataclass(frozen=True, slots=True)
class _Sum:
    parameter: str
    values: tuple[float, ...]


def candidates(trace: Trace, operation: Operation, facts: dict[str, TensorFact]) -> Iterator[Candidate]:
    """One `Candidate` a layer and direction of a recurrent call; nothing for other operations."""
    if operation.name not in _TANH_SLICE:
        return
    place, size = _TANH_SLICE[operation.name], _input_rms(trace, operation)
    for index, (weight, biases) in enumerate(_layers(operation.uses)):
        fact, set_to = facts.get(weight.parameter), _sum(biases, place, facts)
        if fact is None or weight.fan_in is None or set_to is None:
            continue
        drive = _drive(fact, weight, size if index == 0 else None)
        yield Candidate(set_to.parameter, set_to.values, (drive,) * len(set_to.values))


def gate_biases(operation: Operation, facts: dict[str, TensorFact]) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Sum of both bias vectors over each gate of a recurrent call, by the vector that holds most of it."""
    places = _GATES.get(operation.name.removesuffix("_cell"), ())
    for _, biases in _layers(operation.uses):
        for place in places:
            if (set_to := _sum(biases, place, facts)) is not None:
                yield set_to.parameter, set_to.values


def keepers(operation: Operation, facts: dict[str, TensorFact]) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Share of its state that each unit of each layer and direction keeps in a step, as the biases set it.

    The forget gate of an LSTM, the update gate of a GRU; named by the bias vector that holds most of it.
    """
    if operation.name.removesuffix("_cell") not in _GATES:
        return
    for _, biases in _layers(operation.uses):
        if (set_to := _sum(biases, 1, facts)) is not None:
            yield set_to.parameter, tuple(map(_sigmoid, set_to.values))


def valves(trace: Trace, operation: Operation, facts: dict[str, TensorFact], steps: int) -> Iterator[Valve]:
    """Gates between a recurrent cell's input, its state and its result, over a sequence of ``steps``.

    The forget gate is none: shut, it forgets, and what enters still leaves. A gate is taken as open as its bias and one
    deviation of W x allow, and its state as lasting.
    """
    name, size = operation.name.removesuffix("_cell"), _input_rms(trace, operation)
    for index, (weight, biases) in enumerate(_layers(operation.uses)):
        fact = facts.get(weight.parameter)
        if fact is None or weight.fan_in is None:
            continue
        drive = _drive(fact, weight, size if index == 0 else None)
        sums = {place: _sum(biases, place, facts) for place in _GATES.get(name, ())}
        if name == "lstm" and (enter := sums[0]) and (forget := sums[1]) and (leave := sums[3]):
            kept = (_sigmoid(bias + drive) for bias in forget.values)
            written = [_written(_sigmoid(bias + drive), f, steps) for bias, f in zip(enter.values, kept, strict=True)]
            yield Valve(enter.parameter, "input", max(written))
            yield Valve(leave.parameter, "output", max(_sigmoid(bias + drive) for bias in leave.values))
        if name == "gru" and (update := sums[1]):
            kept = (_sigmoid(bias - drive) for bias in update.values)
            yield Valve(update.parameter, "update", max(_written(1 - z, z, steps) for z in kept))


def sequence_length(trace: Trace, operation: Operation, calls: Counter[str]) -> int:
    """Length of the sequence: of the axis that is not the batch, or how often a single cell is called."""
    if operation.name.endswith("_cell"):
        return max((calls[use.parameter] for use in operation.uses), default=1)
    lengths = list(operation.shape[:-1])
    if len(lengths) > 1 and trace.batch_size in lengths:
        lengths.remove(trace.batch_size)
    return max(lengths, default=1)


def _written(enters: float, stays: float, steps: int) -> float:
    """Weight of a steady input in the state after ``steps``: enters (1 + stays + stays^2 + ...)."""
    return enters * (1 - stays**steps) / (1 - stays) if stays < 1.0 else enters * steps


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(value, -700.0)))


def _drive(fact: TensorFact, weight: ParameterUse, size: float | None) -> float:
    """Rms of W x as the law of the weights gives it; ``size`` is the rms of x, None behind another cell."""
    return fact.rms * math.sqrt(weight.fan_in or 0.0) * (_LARGEST if size is None else size)


def _sum(biases: list[ParameterUse], place: int, facts: dict[str, TensorFact]) -> _Sum | None:
    """One slice of both bias vectors together, under the name of the one that holds most of it."""
    values = [_slice(facts.get(use.parameter), use, place) for use in biases]
    if not values or not all(values):
        return None
    loudest = max(range(len(values)), key=lambda number: sum(map(abs, values[number])))
    return _Sum(biases[loudest].parameter, tuple(map(sum, zip(*values, strict=True))))


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
