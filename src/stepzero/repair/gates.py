"""Laws of recurrent cells: what their input may add to the state, and which gate starts open."""

import math
from dataclasses import dataclass

_OPEN = 1.0
_KEEPS = {
    "lstm": ("forget", "Jozefowicz et al. 2015"),
    "gru": ("update", "1804.11188"),
}
"""Cell, the gate that multiplies its old state, source. Both are the second block of a packed bias: i f g o, r z n.

A leaky average with gate sigma(b) forgets within 1 / (1 - sigma(b)) steps: 2 at b = 0, 3.7 at b = 1. Tallec & Ollivier
2018 derive the gates of both cells from this, and the LSTM's known bias of 1 with them."""


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
