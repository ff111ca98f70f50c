"""The matched control: what the same modules show on the same batch when every tensor is drawn by its law.

A number that is odd for a network of one width, depth and batch is ordinary for another. Rules that say "too small" or
"too large" therefore ask how the model compares with several draws of itself.
"""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from stepzero.core.vector import Vector

OfOperations: TypeAlias = Literal["forward", "backward", "flat", "off", "rank", "offset", "winner"]
"""Quantities of which an operation has one; see `Draw`."""
OfOutput: TypeAlias = Literal["loss", "top_share", "confidence"]
"""Quantities of which the whole model has one."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What one forward and backward showed. Vectors over operations follow `Trace.operations`; NaN: not measured."""

    loss: float
    forward: Vector = Vector()
    """Rms of each operation's result."""
    backward: Vector = Vector()
    """Rms of the gradient that arrives there."""
    flat: Vector = Vector()
    """Activations: share of units that are flat at more than half of the positions, 0 to 1."""
    off: Vector = Vector()
    """Activations: share of units without any slope at every position, 0 to 1."""
    rank: Vector = Vector()
    """Entropy rank of each centred result: 1 to the smaller of units and positions less one; 0 when constant."""
    offset: Vector = Vector()
    """Share of units whose mean is more than three times their deviation over positions, 0 to 1."""
    winner: Vector = Vector()
    """Weighted operations: share of positions at which one unit, the same one, is the largest; 0 to 1."""
    gradients: Vector = Vector()
    """Norm of the gradient of each of `Trace.parameters`."""
    top_share: float | None = None
    """Share of the samples whose largest logit is that of one class, the commonest; None without a class loss."""
    confidence: float | None = None
    """Mean probability of each sample's likeliest class."""


@dataclass(frozen=True, slots=True)
class Range:
    """One quantity over several draws."""

    low: float
    median: float
    high: float

    @property
    def words(self) -> str:
        """For a message."""
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g}) when drawn by law"

    def ratio(self, value: float) -> float:
        """``value`` over the median; infinite over a median of zero, and 1 for zero over zero."""
        if self.median:
            return value / self.median
        return math.inf if value else 1.0

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies inside what the draws showed; such a number is no finding."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class ControlFact:
    """Result of the control probe; ``reason`` says why it did not run, or what limits it."""

    ran: bool
    reason: str = ""
    draws: tuple[Draw, ...] = ()
    """Those whose loss is finite."""
    own: Draw | None = None
    """The same measures of the model itself."""

    def at(self, quantity: OfOperations, operation: int) -> Range | None:
        """Range of a quantity of one operation; None unless at least two draws measured it."""
        return _range(_entry(getattr(draw, quantity), operation) for draw in self.draws)

    def own_at(self, quantity: OfOperations, operation: int) -> float | None:
        """The model's own value; None when it was not measured."""
        value = _entry(getattr(self.own, quantity), operation) if self.own is not None else math.nan
        return None if math.isnan(value) else value

    def gradient(self, parameter: int) -> Range | None:
        """Range of the gradient norm of the parameter at this place of `Trace.parameters`."""
        return _range(_entry(draw.gradients, parameter) for draw in self.draws)

    def output(self, quantity: OfOutput) -> Range | None:
        """Range of a quantity of the whole model."""
        found = (getattr(draw, quantity) for draw in self.draws)
        return _range(math.nan if value is None else value for value in found)


NO_CONTROL = ControlFact(ran=False)
"""The probe was not asked for, or the first pass gave no reason to run it."""
_FEWEST = 2
"""Draws that make a range."""


def _entry(vector: Vector, place: int) -> float:
    return vector[place] if place < len(vector) else math.nan


def _range(values: Iterable[float]) -> Range | None:
    known = [value for value in values if not math.isnan(value)]
    return Range(min(known), statistics.median(known), max(known)) if len(known) >= _FEWEST else None
