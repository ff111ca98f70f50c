"""What sleeps: slices of parameters that no gradient reaches, what wakes them, and what changes when they are redrawn.

Works on a Replica. A slice runs along axis 0 of its parameter. Steps are taken once, by `Sleepers.stepped`; all other
questions are asked at the start, to which every one of them returns.
"""

import math
import re
from functools import cached_property

import torch
from torch import Tensor

from stepzero.measure.control import Law
from stepzero.probe import steps
from stepzero.probe.replica import Gradients, Look, Replica, Sizes
from stepzero.probe.waking import after_one_step

MIN_STEPS = 3
_SEVERAL = 2
_GAIN = Law(1.0, 0.0)
_NEARBY = 0.1
"""Of a factor: an activation that cuts off at 6 hands it on while nothing comes near."""
_TAMER = (1.0, 0.3, 0.1)
"""Where laws make a network overflow, matrices are drawn so much smaller."""


class Sleepers:
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
        off: frozenset[str] = frozenset(),
    ) -> None:
        self.replica, self.laws, self.longest, self.same = replica, found, longest, same
        self._generator = torch.Generator().manual_seed(0x3A4E + seed)
        self.first: dict[str, list[int | None]] = {}
        self.waking: dict[str, float] = {}
        self._changes: dict[tuple[object, ...], float] = {}
        self.outputs: dict[int, Tensor] = {}
        self.tables = tables
        """Looked-up parameters: rows that no batch asks for are not asleep."""
        self.cancelled = cancelled
        """Parameters whose gradient is known to be rounding alone."""
        self.doubted = doubted
        """Those whose gradient at the start may be; all of them when None."""
        self.off = off
        """Those whose sleeping slices are units that are off: steps may switch one on by chance, and prove nothing."""
        self.exact: dict[str, bool] = {}
        self.missing: list[str] = []
        self.last: Sizes = {}

    @property
    def stuck(self) -> list[str]:
        """Parameters with slices that never woke."""
        return [name for name, first in self.first.items() if None in first]

    @property
    def latest(self) -> int:
        """Step at which the last slice woke."""
        return max((step for first in self.first.values() for step in first if step is not None), default=0)

    def asleep(self, name: str) -> list[int]:
        """Slices of a parameter that never woke."""
        return [place for place, step in enumerate(self.first.get(name, [])) if step is None]

    def stepped(self) -> int | None:
        """Virtual steps, and back to the start; how many were taken, None where a gradient is not finite."""
        look = self.look(0, self.doubted)
        if not all(each is None or bool(each.isfinite().all()) for each in look.sizes.values()):
            return None
        self.outputs[0], sizes, gradients = look.output, look.sizes, look.gradients
        self._tell_units_off(sizes)
        if self._has_zeros(sizes):
            if (woken := after_one_step(self, sizes, gradients)) is not None:
                self._begin(sizes)
                self.last, self.missing = woken.sizes, [name for name, size in sizes.items() if size is None]
                self._note(1, woken.sizes)
                self.exact |= dict.fromkeys(woken.rounding, False)
                self._changes |= {self._key(name): woken.change for name in woken.rounding}
                self.cancelled |= woken.idle | woken.rounding
                return 1
            sizes, gradients = self._joined(sizes, gradients)  # perhaps another batch reaches them
        self.missing = [name for name, each in sizes.items() if each is None]
        taken = self._step_until_quiet(sizes, gradients)
        self.replica.reset()
        return taken

    def _tell_units_off(self, sizes: Sizes) -> None:
        """Ask, where only some slices of a parameter get nothing, whether a leak in the rectifiers wakes them."""
        known = self.tables | self.off
        zeros = {name: each == 0 for name, each in sizes.items() if each is not None and name not in known}
        partly = {name: which for name, which in zeros.items() if bool(which.any()) and not bool(which.all())}
        if not partly:
            return
        self.replica.is_leaky = True
        try:
            leaking = self.replica.look(0, doubted=frozenset()).sizes
        finally:
            self.replica.is_leaky = False
        woken = {
            name: which
            for name, which in partly.items()
            if (now := leaking[name]) is not None and bool((now[which] != 0).all())
        }
        # A unit without weights is not off, but at the kink, where a leak says nothing.
        weights = {name for name, which in woken.items() if self._are_filled(name, which)}
        modules = {name.rpartition(".")[0] for name in weights}
        self.off |= {name for name in woken if name in weights or name.rpartition(".")[0] in modules}

    def _are_filled(self, name: str, which: Tensor) -> bool:
        """Whether each of these slices of a matrix holds a number that is not zero."""
        start = self.replica.start_of(name)
        return start.dim() > 1 and bool(start[which.to(start.device)].flatten(1).any(1).all())

    def is_silent(self, name: str) -> bool:
        """Whether a slice that was not seen to wake had a gradient of exactly zero to the end."""
        now = self.last[name]
        return name not in self.tables and (now is None or _has_exact_zero(now[self.asleep(name)]))

    def look(self, batch: int, doubted: frozenset[str] | None = None) -> Look:
        """Forward and backward of the copy as it stands; what is known to be rounding is told as such."""
        return self.replica.look(batch, cancelled=self.cancelled, doubted=doubted)

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
        """Whether a slice gets nothing at all; what rounding leaves of a cancelled sum is no sleep but algebra."""
        known = self.tables | self.off
        return any(each is None or bool((each == 0).any()) for name, each in sizes.items() if name not in known)

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
            if not self._note(step, sizes) and (step >= MIN_STEPS or self._are_idle(sizes)):
                return step
        return self.longest

    def _are_idle(self, sizes: Sizes) -> bool:
        """Whether all that gets nothing still changes nothing: then no further step can wake it."""
        known = self.tables | self.off | self.cancelled
        still = {
            name: now == 0
            for name, now in sizes.items()
            if now is not None and name not in known and _has_exact_zero(now) and self.asleep(name)
        }
        if not still or not self.is_idle(still):
            return False
        self.cancelled |= still.keys()
        return True

    def is_idle(self, slices: dict[str, Tensor]) -> bool:
        """Whether redrawing these slices changes nothing where the copy stands, on either batch.

        Never of zeros in a matrix: what they are multiplied with may be zero, too, and they wait for each other.
        """
        if any(
            self.replica.start_of(name).dim() > 1 and not self._are_filled(name, which)
            for name, which in slices.items()
        ):
            return False
        now = {name: self.replica.parameters[name].detach().clone() for name in slices}
        drawn = {name: _at(slices[name], value, self.noise(value)) for name, value in now.items()}
        for batch in (0, 1):
            before = self.replica.output(batch)
            self.replica.write(drawn)
            after = self.replica.output(batch)
            self.replica.write(now)
            if not _distance(before, after) <= self.same:
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

    def _drawn(self, name: str) -> Tensor:
        """The parameter by its law; as it is when its value may mean something that no law knows."""
        start, law = self.replica.start_of(name), self.laws.get(name)
        if law is None:
            return start
        return law.mean + law.std * self.noise(start)

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers of the same shape, device and dtype."""
        dtype = torch.complex128 if like.is_complex() else torch.float64
        return torch.randn(like.shape, generator=self._generator, dtype=dtype).to(like.device, like.dtype)

    @cached_property
    def control(self) -> tuple[Sizes, bool]:
        """Slice sizes with everything redrawn by law, and whether even that leaves the output as it was.

        Where the law makes the network overflow (exponentials of sums it does not know), smaller draws are taken.
        """
        before = self.outputs[0]
        for factor in _TAMER:
            values = {name: self._drawn(name) for name in self.replica.parameters}
            if factor < 1:
                values = {name: factor * value if value.dim() > 1 else value for name, value in values.items()}
            self.replica.write(values)
            look = self.look(0)
            sizes, after = look.sizes, look.output
            if bool(after.isfinite().all()) and all(
                each is None or bool(each.isfinite().all()) for each in sizes.values()
            ):
                break
        self.replica.reset()
        return sizes, _distance(before, after) <= self.same

    def _moved(self, name: str) -> Tensor:
        """The parameter with its sleeping slices redrawn, whatever its law says."""
        start = self.replica.start_of(name)
        is_scale = start.dim() > 1 and start.numel() == start.shape[0]  # of each unit, as in a depthwise 1 x 1
        if is_scale or self.laws.get(name) == _GAIN:  # what a norm takes off is the size of a factor, not its sign
            moved = torch.where(start == 0, self.noise(start), start * torch.exp(_NEARBY * self.noise(start)))
        else:
            moved = start + steps.scale_of(start) * self.noise(start)
        if start.dim() and name in self.first:
            awake = [place for place, step in enumerate(self.first[name]) if step is not None]
            moved[awake] = start[awake]
        return moved

    def change(self, values: dict[str, Tensor], batches: tuple[int, ...] = (0, 1)) -> float:
        """Largest change of the output with these values, relative to its largest entry."""
        change = 0.0
        for batch in batches:
            if batch not in self.outputs:
                self.outputs[batch] = self.replica.output(batch)
            self.replica.write(values)
            change = max(change, _distance(self.outputs[batch], self.replica.output(batch)))
            self.replica.reset()
        return change

    def change_nothing(self, names: list[str], *, ask_all: bool = False) -> bool:
        """Whether none of them changes the output; asked of all at once, and of halves where that changes something.

        ``ask_all``: also when one that does is found, so that all are known.
        """
        if len(names) < _SEVERAL:
            return all(self.change_by(name) <= self.same for name in names)
        change = self.change({name: self._moved(name) for name in names}, (0,))
        if change == 0.0:  # no rounding either: unused, or a choice between experts that came out as before
            change = self.change({name: self._moved(name) for name in names}, (0,))
        if change <= self.same:
            self._changes.update({self._key(name): change for name in names})
            return True
        alike = list({self._key(name): name for name in names}.values())
        one, other = alike[: len(alike) // 2], alike[len(alike) // 2 :]
        is_first_quiet = self.change_nothing(one, ask_all=ask_all)
        return (is_first_quiet or ask_all) and self.change_nothing(other, ask_all=ask_all) and is_first_quiet

    def change_by(self, name: str) -> float:
        """How far the output moves, relatively, when the sleeping slices of this parameter alone are redrawn."""
        key = self._key(name)
        if key not in self._changes:
            self._changes[key] = self.change({name: self._moved(name)})
        return self._changes[key]

    def _key(self, name: str) -> tuple[object, ...]:
        """Layer after layer asks the same question: parameters of one role with the same slices asleep."""
        return (role_of(name), tuple(self.first.get(name, ())))

    def woken_inside(self, name: str, drawn: list[int]) -> set[int]:
        """Stuck zero slices of a parameter that live when others and every zero that moves are drawn.

        The zeros that move are drawn alike at every call, so that answers differ by what was asked alone.
        """
        self._generator.manual_seed(0x7A2C)
        self.replica.write({each: self._grown(each, drawn if each == name else []) for each in self.first})
        now = self.look(0).sizes[name]
        self.replica.reset()
        return set() if now is None else {place for place in self.zero_slices(name) if now[place] > 0}

    def _grown(self, name: str, also: list[int]) -> Tensor:
        """The parameter with the zero slices drawn that wake by themselves, and ``also``."""
        start = self.replica.start_of(name).clone()
        awake = [place for place, step in enumerate(self.first[name]) if step is not None and start.dim()]
        drawn, places = self._drawn(name), [*also, *(place for place in awake if not bool(start[place].any()))]
        if places:
            start[places] = drawn[places]
        return start

    def is_factor(self, name: str) -> bool:
        """Not a bias or shift, which is added and not multiplied: zero is its law."""
        return self.laws.get(name) != Law(0.0, 0.0)

    def zero_slices(self, name: str) -> list[int]:
        """Stuck slices that hold nothing but zeros."""
        start = self.replica.start_of(name)
        flat = start.reshape(start.shape[0], -1) if start.dim() else start.reshape(1, 1)
        return [place for place in self.asleep(name) if not bool(flat[place].any())]

    def revived_by(self, names: list[str]) -> set[str]:
        """Stuck parameters that are live at once when ``names`` are drawn by law where they are zero and stuck."""
        values = {}
        for name in names:
            start, drawn, slices = self.replica.start_of(name).clone(), self._drawn(name), self.zero_slices(name)
            if not bool(drawn.any()):  # a bias: its law is zero, so any value will do
                drawn = self.noise(start)
            if start.dim():
                start[slices] = drawn[slices]
            values[name] = start if start.dim() else drawn
        self.replica.write(values)
        sizes = self.look(0).sizes
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


def _at(which: Tensor, value: Tensor, noise: Tensor) -> Tensor:
    """``value`` plus its scale times ``noise`` in these slices along axis 0."""
    places = which.to(value.device)
    places = places.view(-1, *[1] * (value.dim() - 1)) if value.dim() else places[0]
    return torch.where(places, value + steps.scale_of(value) * noise, value)


def role_of(name: str) -> str:
    """The name without its numbers: layer after layer plays one role."""
    return re.sub(r"\d+", "#", name)


def _distance(one: Tensor, other: Tensor) -> float:
    """Largest difference relative to the largest entry of ``one``; infinite where they cannot be compared."""
    if one.shape != other.shape:
        return math.inf
    gap = float((one - other).abs().max()) if one.numel() else 0.0
    size = float(one.abs().max()) if gap else 1.0
    return gap / size if math.isfinite(gap) and size else math.inf
