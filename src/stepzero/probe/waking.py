"""Does one virtual step wake all that sleeps? So it is behind one zero: a head, a branch, an adapter.

Asked first, on the true batch, because it is the commonest case and the answer costs one pass.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from stepzero.probe import steps
from stepzero.probe.replica import Look, Replica
from stepzero.probe.rounding import Sizes

_GROWN = 10.0
"""Times by which one small step does not change the gradient of what is awake."""


class Copy(Protocol):
    """What is asked of the copy; see `stepzero.probe.sleepers.Sleepers`."""

    replica: Replica
    tables: frozenset[str]
    off: frozenset[str]
    same: float

    def look(self, batch: int, doubted: frozenset[str] | None = None, *, names: Collection[str] | None = None) -> Look:
        """Forward and backward."""

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers."""

    def units_off_among(self, sizes: Sizes, names: Collection[str] | None = None) -> frozenset[str]:
        """Parameters whose slices get nothing because their units are off."""

    def is_idle(self, slices: dict[str, Tensor], seen: dict[int, Tensor]) -> bool:
        """Whether redrawing these slices changes nothing where the copy stands; ``seen``: outputs there by batch."""

    def change(self, values: dict[str, Tensor], batches: tuple[int, ...] = (0, 1)) -> float:
        """Relative change of the output with other values."""


@dataclass(frozen=True, slots=True)
class Woken:
    """All that slept is awake, or is an offset that changes nothing."""

    sizes: Sizes
    """After the step, of what slept or was too faint to tell; zero for slices of such offsets."""
    rounding: frozenset[str]
    """Parameters with such slices."""
    change: float
    """Relative change of the output when they are redrawn: no more than rounding."""
    off: frozenset[str] = frozenset()
    """Parameters of which slices sleep on because their units are off."""
    idle: frozenset[str] = frozenset()
    """Parameters of which slices sleep on, and change nothing: all that slept did, so that no further step helps."""


def step(copy: Copy, look: Look) -> tuple[Sizes, Look]:
    """Step once along the gradients of ``look`` and look again at what sleeps; the copy stays there.

    Returns the sizes at the start, of which the second look says whether faint ones are rounding, and that look.
    """
    asleep = [name for name, each in look.sizes.items() if each is not None and bool((each == 0).any())]
    # What is left of a cancelled sum moves, too: the output is the same whatever such a parameter holds.
    steps.along(copy.replica, steps.moving(look.sizes, look.gradients))
    names = look.untold.union(asleep)
    later = copy.look(0, names - copy.tables - copy.off, names=names)
    if _is_to_be_asked_again(look, later):
        return {**look.sizes, **_looked_at_again(copy, look.untold)}, later
    told = {name: _told(look, later, name) for name in look.untold}
    start = {name: each for name, (each, _) in told.items()}
    return {**look.sizes, **start}, replace(
        later, sizes={**later.sizes, **{name: now for name, (_, now) in told.items()}}
    )


def _is_to_be_asked_again(look: Look, later: Look) -> bool:
    """Whether a parameter that gets much more now got too little at the start to say whether that was rounding.

    What was far louder than the rounding after the step was a signal; what was no louder than that was none.
    """
    for name in look.untold:
        start, now, floor = look.sizes[name], later.sizes[name], later.floors.get(name, 0.0)
        if start is None or now is None or not bool((start < look.limit).all()):
            continue
        least = float(start.max())
        if float(now.max()) > _GROWN * least and (not floor or floor < least <= _GROWN * floor):
            return True
    return False


def _told(look: Look, later: Look, name: str) -> tuple[Tensor | None, Tensor | None]:
    """Sizes of a parameter that was too faint at the start, then and after the step: rounding stays rounding.

    All of the parameter is where none of it was louder than the rounding after the step; else slice by slice.
    """
    start, now, floor = look.sizes[name], later.sizes[name], later.floors.get(name, 0.0)
    if start is None or now is None or not floor:
        return start, now
    most, grown = float(start.max()), float(now.max()) > _GROWN * floor
    if most <= floor or (most <= _GROWN * floor and not grown and bool((now < 0).any())):
        return -start.abs(), now if grown else -now.abs()
    return torch.where((start < look.limit) & (now < 0) & (start <= floor), -start, start), now


def _looked_at_again(copy: Copy, names: frozenset[str]) -> Sizes:
    """Sizes at the start; the copy stays where it is."""
    there = copy.replica.state()
    copy.replica.reset()
    again = copy.look(0, names, names=names)
    copy.replica.write(there)
    return again.sizes


def after_one_step(copy: Copy, sizes: Sizes, look: Look) -> Woken | None:
    """What ``look`` says, which `step` returned with the ``sizes`` at the start; None where that answers too little.

    Little is answered where some of what slept wakes and some does not: what woke may wake the rest. The copy is left
    at the start.
    """
    known, later = copy.tables | copy.off, look.sizes
    asleep = {name: each == 0 for name, each in sizes.items() if each is not None and name not in known}
    asleep = {name: which for name, which in asleep.items() if bool(which.any())}
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
    is_idle = bool(still) and still.keys() == asleep.keys() - rounding.keys() and copy.is_idle(still, {0: look.output})
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
