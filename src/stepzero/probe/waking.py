"""Does one virtual step wake all that sleeps? So it is behind one zero: a head, a branch, an adapter.

Asked first, on the true batch, because it is the commonest case and the answer costs one pass.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from stepzero.probe import steps
from stepzero.probe.replica import Gradients, Look, Replica, Sizes


class Copy(Protocol):
    """What is asked of the copy; see `stepzero.probe.sleepers.Sleepers`."""

    replica: Replica
    tables: frozenset[str]
    off: frozenset[str]
    same: float

    def look(self, batch: int, doubted: frozenset[str] | None = None) -> Look:
        """Forward and backward."""

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers."""

    def units_off_among(self, sizes: Sizes, names: Collection[str] | None = None) -> frozenset[str]:
        """Parameters whose slices get nothing because their units are off."""

    def is_idle(self, slices: dict[str, Tensor]) -> bool:
        """Whether redrawing these slices changes nothing where the copy stands."""

    def change(self, values: dict[str, Tensor], batches: tuple[int, ...] = (0, 1)) -> float:
        """Relative change of the output with other values."""


@dataclass(frozen=True, slots=True)
class Woken:
    """All that slept is awake, or is an offset that changes nothing."""

    sizes: Sizes
    """After the step; zero for slices of such offsets."""
    rounding: frozenset[str]
    """Parameters with such slices."""
    change: float
    """Relative change of the output when they are redrawn: no more than rounding."""
    off: frozenset[str] = frozenset()
    """Parameters of which slices sleep on because their units are off."""
    idle: frozenset[str] = frozenset()
    """Parameters of which slices sleep on, and change nothing: all that slept did, so that no further step helps."""


def after_one_step(copy: Copy, sizes: Sizes, gradients: Gradients) -> Woken | None:
    """Step once along ``gradients`` and look again; None where that answers too little. The copy is left at the start.

    Little is answered where some of what slept wakes and some does not: what woke may wake the rest.
    """
    known = copy.tables | copy.off
    asleep = {name: each == 0 for name, each in sizes.items() if each is not None and name not in known}
    asleep = {name: which for name, which in asleep.items() if bool(which.any())}
    steps.along(copy.replica, steps.moving(sizes, gradients))
    later = copy.look(0, frozenset(asleep)).sizes
    if any(later[name] is None for name in asleep):
        copy.replica.reset()
        return None
    now = {name: each for name, each in later.items() if each is not None}
    rounding = {
        name: which & (now[name] <= 0) for name, which in asleep.items() if _is_rounding(copy, name, now[name], which)
    }
    still = {
        name: which & (now[name] == 0)
        for name, which in asleep.items()
        if name not in rounding and bool((which & (now[name] == 0)).any()) and not bool((now[name] < 0).any())
    }
    is_idle = bool(still) and still.keys() == asleep.keys() - rounding.keys() and copy.is_idle(still)
    off = copy.units_off_among(later, still) if still and not is_idle else frozenset[str]()
    copy.replica.reset()
    found = {**later, **{name: now[name].clamp(min=0) for name in rounding}}
    for name in asleep.keys() - rounding.keys():
        if name not in off and not is_idle and bool((now[name][asleep[name]] == 0).any()):
            return None
        found[name] = now[name].abs()  # a faint slice among others that woke is reached as they are
    change = copy.change(_redrawn(copy, rounding), (0,)) if rounding else 0.0
    idle = frozenset(still) if is_idle else frozenset[str]()
    return Woken(found, frozenset(rounding), change, off, idle) if change <= copy.same else None


def _is_rounding(copy: Copy, name: str, now: Tensor, which: Tensor) -> bool:
    """Whether rounding is all that arrives at all slices of a parameter, or at some of a vector of packed biases.

    Some of a vector's slices come to 0 by chance where the others get a rounding; of a matrix those asked for count.
    """
    if copy.replica.start_of(name).dim() < 2:
        return bool((now < 0).any())
    return bool((now[which] < 0).any()) and not bool((now[which] > 0).any())


def _redrawn(copy: Copy, slices: dict[str, Tensor]) -> dict[str, Tensor]:
    """Values with these slices moved by normal numbers."""
    values = {}
    for name, which in slices.items():
        start = copy.replica.start_of(name)
        at = which.to(start.device).view(-1, *[1] * (start.dim() - 1)) if start.dim() else which.to(start.device)[0]
        values[name] = torch.where(at, start + copy.noise(start), start)
    return values
