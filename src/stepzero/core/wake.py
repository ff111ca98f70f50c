"""What the wake-up probe found: which zero gradients are zero for a moment, which for ever, and why."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Cause: TypeAlias = Literal["", "value", "cut", "algebra", "unused"]
"""Why a gradient is zero: this start blocks it; no derivative path exists; the parameter changes nothing though it is
used; it is not used. Empty for a slice that is live."""


@dataclass(frozen=True, slots=True)
class ParameterWake:
    """When the slices of one parameter (along its axis 0) first have a gradient.

    ``first[i]`` is the virtual step at which slice ``i`` first has one: 0 is live from the start, None never.
    Runs of equal entries are stored once: ``first`` holds (step, number of slices) pairs in order.
    """

    parameter: str
    first: tuple[tuple[int | None, int], ...]
    has_gradient: bool = True
    """False when autograd returns None."""
    zero_stuck: int = 0
    """Slices that never wake and hold nothing but zeros."""
    cause: Cause = ""
    effect: bool | None = None
    """Whether redrawing the parameter alone changes the output; None where the cause is known without asking."""
    control: bool | None = None
    """Whether it has a gradient once every tensor is redrawn by its law; True of units that are off among others."""
    wake_size: float | None = None
    """Size of its first gradient over that in the matched control, when delayed."""
    touch_step: int | None = None
    """Step of the user's own optimizer after which a gradient first arrives; None when none was given, or never."""
    touch_size: float | None = None
    """Largest entry of that first gradient, absolute."""

    @property
    def slices(self) -> int:
        """Slices looked at."""
        return sum(count for _, count in self.first)

    @property
    def stuck(self) -> int:
        """Slices that never wake."""
        return sum(count for step, count in self.first if step is None)

    @property
    def delay(self) -> int:
        """Virtual steps until the last slice that wakes at all has woken; 0 when all were live."""
        return max((step for step, _ in self.first if step is not None), default=0)


@dataclass(frozen=True, slots=True)
class DeadProduct:
    """Factors that reach the output only through their product, two or more of which are zero."""

    factors: tuple[str, ...]
    silenced: tuple[str, ...] = ()
    """Other parameters that get a gradient as soon as one factor is drawn."""
    slices: tuple[tuple[int, ...], ...] = ()
    """Where one parameter holds all factors: the slices along axis 0 of each."""

    @property
    def num_zeros(self) -> int:
        """Zero factors."""
        return max(len(self.factors), len(self.slices))


@dataclass(frozen=True, slots=True)
class WakeFact:
    """Result of the wake-up probe; ``reason`` says why it did not run, or what limits it."""

    ran: bool
    reason: str = ""
    steps: int = 0
    optimizer: str = ""
    """The user's optimizer, when it was given and could be run on the copy."""
    parameters: tuple[ParameterWake, ...] = ()
    """Those with at least one slice that is not live at the start, in the model's order."""
    products: tuple[DeadProduct, ...] = ()
    blockers: tuple[tuple[str, str], ...] = ()
    """(stuck parameter, parameter whose redraw alone wakes it)."""
    output_is_constant: bool = False
    """Whether redrawing every parameter by its law leaves the output as it is."""


NO_WAKE = WakeFact(ran=False)
"""The probe was not asked for, or the first pass gave no reason to run it."""
