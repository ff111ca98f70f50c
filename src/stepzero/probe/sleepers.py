"""What sleeps: slices of parameters that no gradient reaches, what wakes them, and what changes when they are redrawn.

Works on a Replica. A slice runs along axis 0 of its parameter. Steps are taken once, by `Sleepers.stepped`; all other
questions are asked at the start, to which every one of them returns.
"""

from collections.abc import Callable, Collection
from functools import cached_property

import torch
from torch import Tensor

from stepzero.measure.control import Law
from stepzero.probe import steps, waking
from stepzero.probe.redrawn import GAIN, Redrawn, at_slices, distance
from stepzero.probe.replica import Gradients, Look, Replica
from stepzero.probe.rounding import Sizes

MIN_STEPS = 3
_SETTLED = 2
"""Steps after which what two zeros in a row had silenced is awake."""
_FEW = 32
"""One of so many slices is small by chance, and as many times smaller than the largest."""
_SHARE = 2
"""Of a norm's gains at least one in so many is awake: what keeps the others asleep is not the norm."""
_TAMER = (1.0, 0.3, 0.1)
"""Where laws make a network overflow, matrices are drawn so much smaller."""


class Sleepers(Redrawn):
    """The sleeping slices of one copy."""

    def __init__(
        self,
        replica: Replica,
        found: dict[str, Law],
        longest: int,
        seed: int,
        tables: frozenset[str],
        same: float,
        cancelled: frozenset[str] = frozenset(),
        doubted: frozenset[str] | None = None,
        units_off: dict[str, float] | None = None,
        *,
        has_rectifiers: bool = True,
    ) -> None:
        super().__init__(replica, found, seed, same)
        self.longest = longest
        self.waking: dict[str, float] = {}
        self.tables = tables
        """Looked-up parameters: rows that no batch asks for are not asleep."""
        self.cancelled = cancelled
        """Parameters whose gradient is known to be rounding alone."""
        self.doubted = doubted
        """Those whose gradient at the start may be; all of them when None."""
        self.units_off = units_off or {}
        """Of each weight and bias how many slices belong to units that are off on the batch."""
        self.has_rectifiers = has_rectifiers
        """Whether the forward holds a map that could be made to leak."""
        self.off: frozenset[str] = frozenset()
        """Those whose sleeping slices are such: steps may switch a unit on by chance, and prove nothing."""
        self.idle: frozenset[str] = frozenset()
        """Those whose sleeping slices were seen to change nothing when no step woke any more."""
        self.exact: dict[str, bool] = {}
        self.loudest = 0.0
        """Size of the largest gradient at the start."""
        self.missing: list[str] = []
        self.last: Sizes = {}

    @property
    def stuck(self) -> list[str]:
        """Parameters with slices that never woke."""
        return [name for name, first in self.first.items() if None in first]

    @property
    def _told_of(self) -> frozenset[str]:
        """Parameters with slices that slept."""
        return frozenset(self.missing).union(name for name, first in self.first.items() if any(s != 0 for s in first))

    @property
    def latest(self) -> int:
        """Step at which the last slice woke."""
        return max((step for first in self.first.values() for step in first if step is not None), default=0)

    @property
    def latest_of_others(self) -> int:
        """The same, of parameters without units that are off: those come on at any step, by chance."""
        waking = (first for name, first in self.first.items() if name not in self.off)
        return max((step for first in waking for step in first if step is not None), default=0)

    def stepped(self) -> int | None:
        """Virtual steps, and back to the start; how many were taken, None where a gradient is not finite."""
        # Where all gradients may be rounding, it is told before anything moves along them.
        look = self.look(0, self.doubted, waits=self._has_zeros if self.doubted is not None else lambda _: False)
        if not all(each is None or bool(each.isfinite().all()) for each in look.sizes.values()):
            return None
        self.outputs[0], self.loudest, sizes, gradients = look.output, look.loudest, look.sizes, look.gradients
        self.off |= self.units_off_among(sizes)
        if look.untold and not self._has_zeros(sizes):
            sizes = {**sizes, **self.look(0, look.untold, names=look.untold).sizes}
        if self._has_zeros(sizes):
            sizes, later = waking.step(self, look)
            if (woken := waking.after_one_step(self, sizes, later)) is not None:
                self._begin(sizes)
                self.last = {**sizes, **woken.sizes}
                self.missing = [name for name, size in sizes.items() if size is None]
                self._note(1, woken.sizes)
                self.exact |= dict.fromkeys(woken.rounding, False)
                self.changes |= {self.key_of(name): woken.change for name in woken.rounding}
                self.cancelled |= woken.rounding
                self.idle |= woken.idle
                self.off |= woken.off
                return 1
            sizes, gradients = self._joined(sizes, gradients)  # perhaps another batch reaches them
        self.missing = [name for name, each in sizes.items() if each is None]
        taken = self._step_until_quiet(sizes, gradients)
        self.replica.reset()
        return taken

    def units_off_among(self, sizes: Sizes, names: Collection[str] | None = None) -> frozenset[str]:
        """Parameters whose slices get nothing because their units are off, as far as known or told by a leak.

        Where only some slices get nothing, and the rectifiers' leak wakes them, the copy standing where it does.
        ``names``: those asked for, if not all.
        """
        asked = (sizes.keys() if names is None else set(names)) - self.tables
        zeros = {name: each == 0 for name in asked if (each := sizes[name]) is not None}
        known = {name for name, which in zeros.items() if self._are_off(name, which)}
        partly = {
            name: which
            for name, which in zeros.items()
            if name not in known and bool(which.any()) and not bool(which.all())
        }
        if not partly or not self.has_rectifiers:
            return frozenset(known)
        self.replica.is_leaky = True
        try:
            leaking = self.replica.reached(partly)
        finally:
            self.replica.is_leaky = False
        woken = {
            name: which
            for name, which in partly.items()
            if (now := leaking.get(name)) is not None and bool((now[which] != 0).all())
        }
        # A unit without weights, or whose norm multiplies by zero, is not off, but at the kink: no leak tells of it,
        # but where others of the norm are awake: those that the stream behind a zero gain holds off.
        weights = {name for name, which in woken.items() if self._are_filled(name, which) or self._are_few(name, which)}
        modules = {name.rpartition(".")[0] for name in weights}
        return frozenset(known.union(name for name in woken if name in weights or name.rpartition(".")[0] in modules))

    def _are_off(self, name: str, which: Tensor) -> bool:
        """Whether there are such slices, and no more than units that are off."""
        return 0 < int(which.sum()) <= self.units_off.get(name, 0.0)

    def _are_filled(self, name: str, which: Tensor) -> bool:
        """Whether each of these slices of a matrix, or of the gains of a norm, holds a number that is not zero."""
        start = self.replica.start_of(name)
        is_factor = start.dim() > 1 or (start.dim() == 1 and self.laws.get(name) == GAIN)
        return is_factor and bool(start[which.to(start.device)].reshape(int(which.sum()), -1).any(1).all())

    def _are_few(self, name: str, which: Tensor) -> bool:
        """Whether these are no more than half of the gains of a norm."""
        return self.laws.get(name) == GAIN and _SHARE * int(which.sum()) <= len(which)

    def is_read(self, name: str) -> bool:
        """Whether it is a table of which some rows get a gradient: the others are those that no batch asks for."""
        return name in self.tables and 0 in self.first.get(name, ())

    def is_silent(self, name: str) -> bool:
        """Whether a slice that was not seen to wake had a gradient of exactly zero to the end."""
        now = self.last[name]
        return name not in self.tables and (now is None or _has_exact_zero(now[self.asleep(name)]))

    def is_exact(self, name: str) -> bool:
        """Whether slices that never woke got a gradient of exactly zero at the start, and to the end no rounding."""
        now = self.last.get(name)
        return bool(self.exact.get(name)) and (now is None or not bool((now[self.asleep(name)] < 0).any()))

    def is_small_by_chance(self, name: str) -> bool:
        """Whether rounding hides the gradient of a few slices only, and that of the others is far above it."""
        asleep, now = self.asleep(name), self.last[name]
        if now is None or _FEW * len(asleep) > len(now):
            return False
        hidden = now[asleep]
        return bool((hidden < 0).all()) and _FEW * float(hidden.abs().max()) <= float(now.max())

    def look(
        self,
        batch: int,
        doubted: frozenset[str] | None = None,
        *,
        names: Collection[str] | None = None,
        waits: Callable[[Sizes], bool] = lambda _: False,
    ) -> Look:
        """Forward and backward of the copy as it stands; what is known to be rounding is told as such.

        ``names``: the parameters looked at, if not all; the largest gradient is then that of the start.
        """
        loudest = 0.0 if names is None else self.loudest
        return self.replica.look(
            batch, names=names, cancelled=self.cancelled, doubted=doubted, loudest=loudest, waits=waits
        )

    def _joined(self, sizes: Sizes, gradients: Gradients) -> tuple[Sizes, Gradients]:
        """Slice sizes and gradients of both batches together."""
        look = self.look(1)
        self.outputs[1], more, others = look.output, look.sizes, look.gradients
        both: Sizes = {}
        for name, one in sizes.items():
            two = more[name]
            both[name] = two if one is None else one if two is None else torch.where(one.abs() > two.abs(), one, two)
        return both, steps.summed(gradients, others)

    def _has_zeros(self, sizes: Sizes) -> bool:
        """Whether a slice gets nothing at all; what rounding leaves of a cancelled sum is no sleep but algebra.

        Nor is a parameter that no path leads to: steps lay none.
        """
        known = self.tables | self.off
        return any(each is not None and bool((each == 0).any()) for name, each in sizes.items() if name not in known)

    def is_every_one_asleep(self) -> bool:
        """Whether the gradients could be those of a constant: all of them are zero."""
        return bool(self.stuck) and all(0 not in first for first in self.first.values())

    def _step_until_quiet(self, sizes: Sizes, gradients: Gradients) -> int:
        """Steps on alternate batches while slices without any gradient are left; returns how many were taken."""
        self._begin(sizes)
        for step in range(1, self.longest + 1):
            if not self._is_waiting(sizes):
                return step - 1
            steps.along(self.replica, steps.moving(sizes, gradients))
            look = self.look(step % 2)
            sizes, gradients = look.sizes, look.gradients
            self.last = sizes
            if not self._note(step, sizes) and (step >= MIN_STEPS or self._are_idle(sizes, {step % 2: look.output})):
                return step
            if step >= _SETTLED and self._is_waiting(sizes):  # units may only be off: they come on by chance, for ever
                self.off |= self.units_off_among(sizes, self.stuck)
        return self.longest

    def _are_idle(self, sizes: Sizes, seen: dict[int, Tensor]) -> bool:
        """Whether all that gets nothing still changes nothing: then no further step can wake it.

        ``seen``: outputs where the copy stands, by batch.
        """
        known = self.tables | self.off | self.cancelled | self.idle
        still = {
            name: now == 0
            for name, now in sizes.items()
            if now is not None and name not in known and _has_exact_zero(now) and self.asleep(name)
        }
        if not still or not self.is_idle(still, seen):
            return False
        self.idle |= still.keys()
        return True

    def is_idle(self, slices: dict[str, Tensor], seen: dict[int, Tensor]) -> bool:
        """Whether redrawing these slices changes nothing where the copy stands, on either batch.

        ``seen``: outputs where the copy stands, by batch, as far as they are known; those batches are asked first.

        Never of zeros in a matrix: what they are multiplied with may be zero, too, and they wait for each other.
        """
        if any(
            self.replica.start_of(name).dim() > 1 and not self._are_filled(name, which)
            for name, which in slices.items()
        ):
            return False
        now = {name: self.replica.parameters[name].detach().clone() for name in slices}
        drawn = {name: at_slices(slices[name], value, self.noise(value)) for name, value in now.items()}
        for batch in sorted((0, 1), key=lambda batch: batch not in seen):
            before = seen[batch] if batch in seen else self.replica.output(batch)
            self.replica.write(drawn)
            after = self.replica.output(batch)
            self.replica.write(now)
            if not distance(before, after) <= self.same:
                return False
        return True

    def _begin(self, sizes: Sizes) -> None:
        """Note what is live from the start."""
        for name, each in sizes.items():
            if each is not None:
                self.first[name] = [0 if size > 0 else None for size in each.tolist()]
                self.exact[name] = _has_exact_zero(each)
        self.last = sizes

    def _is_waiting(self, sizes: Sizes) -> bool:
        for name, first in self.first.items():
            now = sizes[name]
            if now is None or None not in first or name in self.tables or name in self.off:
                continue
            if _has_exact_zero(now[self.asleep(name)]):
                return True
        return False

    def _note(self, step: int, sizes: Sizes) -> bool:
        """Whether a slice woke at this step."""
        grew = False
        for name, each in sizes.items():
            first = self.first.get(name)
            if each is None or first is None or None not in first:
                continue
            for place, size in enumerate(each.tolist()):
                if size > 0 and first[place] is None:
                    first[place], grew = step, grew or name not in self.off
                    self.waking[name] = max(self.waking.get(name, 0.0), size)
        return grew

    # -- redrawn -------------------------------------------------------------------------------------------------------

    @cached_property
    def control(self) -> tuple[Sizes, bool]:
        """Slice sizes with everything redrawn by law, and whether even that leaves the output as it was.

        Where the law makes the network overflow (exponentials of sums it does not know), smaller draws are taken.
        """
        before = self.outputs[0]
        for factor in _TAMER:
            values = {name: self.drawn(name) for name in self.replica.parameters}
            if factor < 1:
                values = {name: factor * value if value.dim() > 1 else value for name, value in values.items()}
            self.replica.write(values)
            look = self.look(0, frozenset(self.stuck), names=self._told_of)
            sizes, after = look.sizes, look.output
            if bool(after.isfinite().all()) and all(
                each is None or bool(each.isfinite().all()) for each in sizes.values()
            ):
                break
        self.replica.reset()
        return sizes, distance(before, after) <= self.same

    def woken_inside(self, name: str, drawn: list[int]) -> set[int]:
        """Stuck zero slices of a parameter that live when others and every zero that moves are drawn.

        The zeros that move are drawn alike at every call, so that answers differ by what was asked alone.
        """
        self.generator.manual_seed(0x7A2C)
        self.replica.write({each: self._grown(each, drawn if each == name else []) for each in self.first})
        now = self.look(0, names=[name]).sizes[name]
        self.replica.reset()
        return set() if now is None else {place for place in self.zero_slices(name) if now[place] > 0}

    def _grown(self, name: str, also: list[int]) -> Tensor:
        """The parameter with the zero slices drawn that wake by themselves, and ``also``."""
        start = self.replica.start_of(name).clone()
        awake = [place for place, step in enumerate(self.first[name]) if step is not None and start.dim()]
        drawn, places = self.drawn(name), [*also, *(place for place in awake if not bool(start[place].any()))]
        if places:
            start[places] = drawn[places]
        return start

    def revived_by(self, names: list[str]) -> set[str]:
        """Stuck parameters that are live at once when ``names`` are drawn by law where they are zero and stuck."""
        values = {}
        for name in names:
            start, drawn, slices = self.replica.start_of(name).clone(), self.drawn(name), self.zero_slices(name)
            if not bool(drawn.any()):  # a bias: its law is zero, so any value will do
                drawn = self.noise(start)
            if start.dim():
                start[slices] = drawn[slices]
            values[name] = start if start.dim() else drawn
        self.replica.write(values)
        sizes = self.look(0, names=self.stuck).sizes
        self.replica.reset()
        found = set()
        for name in self.stuck:
            now = sizes[name]
            if now is None:
                continue
            if bool((now[self.asleep(name)] > 0).any()):
                found.add(name)
        return found


def _has_exact_zero(sizes: Tensor) -> bool:
    """Whether a slice gets nothing, not even rounding; one of a cancelled sum's slices can come to 0 by chance."""
    return bool((sizes == 0).any()) and not bool((sizes < 0).any())
