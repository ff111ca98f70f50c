"""Laws of recurrent cells: what their input may add to the state, and which gate starts open."""

import math
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.uses import live_inputs
from stepzero.probe.vocabulary import RECURRENT

_OPEN = 1.0
_KEEPS = {
    "lstm": ("forget", "Jozefowicz et al. 2015"),
    "gru": ("update", "1804.11188"),
}
"""Cell, the gate that multiplies its old state, source. Both are the second block of a packed bias: i f g o, r z n.

A leaky average with gate sigma(b) forgets within 1 / (1 - sigma(b)) steps: 2 at b = 0, 3.7 at b = 1. Tallec & Ollivier
2018 derive the gates of both cells from this, and the LSTM's known bias of 1 with them."""

_PASSES = ("view", "dropout")


@dataclass(frozen=True, slots=True)
class Opened:
    """What is written into the bias of the input; the other of the two biases that add up stays 0."""

    values: tuple[tuple[int, int, float], ...]
    why: str
    source: str


def opened(cell: str, size: int) -> Opened | None:
    """For a cell by the name of its operation or class, with ``size`` units; None when it has no such gate."""
    kind = cell.lower().removesuffix("_cell").removesuffix("cell")
    if kind not in _KEEPS:
        return None
    gate, source = _KEEPS[kind]
    why = f"the {gate} gate starts open; the other of the two biases that add up stays 0"
    return Opened(((size, 2 * size, _OPEN),), why, source)


def share(inputs: float, state: float) -> float:
    """Gain of the weights that read the input, whose result adds to that of the state: fan-in is what both have.

    The orthogonal matrix of the state, by its law of 1 / state, already has its full part, and a state is below 1.
    """
    return math.sqrt(inputs / (inputs + state))


def balanced(width: int, state: float) -> float:
    """Standard deviation of a table and of the matrix that reads it, whose product gives `share` to the input.

    With nothing between them they are one linear map in two factors. Linear networks learn features fastest from a
    balanced start, where both factors learn at the same speed (Kunin et al. 2024, arXiv 2406.06158), and an optimizer
    that moves every entry by as much needs entries of one size for that: e sqrt(width) e = share.
    """
    return math.sqrt(share(width, state) / math.sqrt(width))


def reads_table(trace: Trace, operation: Operation, use: ParameterUse) -> int | None:
    """Width of the table whose rows this weight of a cell reads; None where it reads anything else.

    Layers behind the first read states, of the same width in the worst case: then only the first weight is believed.
    """
    weights = [each for each in operation.uses if each.slot == "weight"]
    states = {each.fan_in for each in operation.uses if each.slot == "recurrent" and each.fan_in}
    source = operation
    while sources := live_inputs(trace, source):
        source = sources[0]
        if source.kind not in _PASSES:
            break
    width = next((each.shape[-1] for each in source.uses if each.slot == "table"), None)
    if width is None or not _is_read_by_cells(trace, source):
        return None
    is_told = use.fan_in == width and width not in states | {2 * state for state in states}
    return width if is_told or use == weights[0] else None


def state_behind(trace: Trace, lookup: Operation) -> float | None:
    """Fan-in of the state of the recurrent cell that alone reads the rows of a table."""
    if not _is_read_by_cells(trace, lookup):
        return None
    cell = next(each for each in _readers(trace, lookup))
    return next((each.fan_in for each in cell.uses if each.slot == "recurrent"), None)


def is_added_up(trace: Trace, lookup: Operation) -> bool:
    """Whether a cell whose state is a sum reads the rows of a table."""
    return any(each.name.startswith("lstm") for each in _readers(trace, lookup))


def _is_read_by_cells(trace: Trace, lookup: Operation) -> bool:
    readers = _readers(trace, lookup)
    return bool(readers) and all(each.name in RECURRENT for each in readers)


def _readers(trace: Trace, operation: Operation) -> list[Operation]:
    """What reads a result, behind views and dropout."""
    graph, found, waiting = Graph(trace), list[Operation](), [operation.index]
    while waiting:
        for index in graph.readers[waiting.pop()]:
            if trace.operations[index].kind in _PASSES:
                waiting.append(index)
            else:
                found.append(trace.operations[index])
    return found
