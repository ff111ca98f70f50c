"""What changes when slices of a copy's parameters are redrawn: nothing, the output, or who gets a gradient.

Every question is asked at the start, to which the copy returns.
"""

import math
import re

import torch
from torch import Tensor

from stepzero.measure.control import Law
from stepzero.probe import steps
from stepzero.probe.replica import Replica

_SEVERAL = 2
GAIN = Law(1.0, 0.0)
"""Of what multiplies each unit."""
_NEARBY = 0.1
"""Of a factor: an activation that cuts off at 6 hands it on while nothing comes near."""


class Redrawn:
    """One copy, its laws, and which slices of its parameters sleep."""

    def __init__(self, replica: Replica, found: dict[str, Law], seed: int, same: float) -> None:
        self.replica, self.laws, self.same = replica, found, same
        self.generator = torch.Generator().manual_seed(0x3A4E + seed)
        self.first: dict[str, list[int | None]] = {}
        """Of each slice of a parameter the step at which it first got a gradient; None as long as it has not."""
        self.outputs: dict[int, Tensor] = {}
        """Main output by batch, with the values of the start."""
        self.changes: dict[tuple[object, ...], float] = {}

    def asleep(self, name: str) -> list[int]:
        """Slices of a parameter that never woke."""
        return [place for place, step in enumerate(self.first.get(name, [])) if step is None]

    def drawn(self, name: str) -> Tensor:
        """The parameter by its law; as it is when its value may mean something that no law knows."""
        start, law = self.replica.start_of(name), self.laws.get(name)
        if law is None:
            return start
        return law.mean + law.std * self.noise(start) if law.std else torch.full_like(start, law.mean)

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers of the same shape, device and dtype; in float64 to draw takes nine times as long."""
        dtype = torch.complex64 if like.is_complex() else torch.float32
        return torch.randn(like.shape, generator=self.generator, dtype=dtype).to(like.device, like.dtype)

    def moved(self, name: str) -> Tensor:
        """The parameter with its sleeping slices redrawn, whatever its law says."""
        start = self.replica.start_of(name)
        is_scale = start.dim() > 1 and start.numel() == start.shape[0]  # of each unit, as in a depthwise 1 x 1
        if is_scale or self.laws.get(name) == GAIN:  # what a norm takes off is the size of a factor, not its sign
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
            change = max(change, distance(self.outputs[batch], self.replica.output(batch)))
            self.replica.reset()
        return change

    def change_nothing(self, names: list[str], *, ask_all: bool = False) -> bool:
        """Whether none of them changes the output; asked of all at once, and of halves where that changes something.

        ``ask_all``: also when one that does is found, so that all are known.
        """
        if self.change_nothing_together(names):
            return True
        alike = list({self.key_of(name): name for name in names}.values())
        if len(alike) < _SEVERAL:
            return False
        one, other = alike[: len(alike) // 2], alike[len(alike) // 2 :]
        is_first_quiet = self.change_nothing(one, ask_all=ask_all)
        return (is_first_quiet or ask_all) and self.change_nothing(other, ask_all=ask_all) and is_first_quiet

    def change_nothing_together(self, names: list[str]) -> bool:
        """The same, asked once; each is known then where none does, or there is one alone."""
        keys = {self.key_of(name) for name in names}
        if keys <= self.changes.keys():
            return all(self.changes[key] <= self.same for key in keys)
        change = self.change({name: self.moved(name) for name in names}, (0,))
        if change == 0.0:  # no rounding either: unused, or a choice between experts that came out as before
            change = self.change({name: self.moved(name) for name in names}, (0,) if len(keys) > 1 else (1,))
        if change <= self.same or len(keys) == 1:
            self.changes |= dict.fromkeys(keys, change)
        return change <= self.same

    def change_by(self, name: str) -> float:
        """How far the output moves, relatively, when the sleeping slices of this parameter alone are redrawn."""
        key = self.key_of(name)
        if key not in self.changes:
            self.changes[key] = self.change({name: self.moved(name)})
        return self.changes[key]

    def key_of(self, name: str) -> tuple[object, ...]:
        """Layer after layer asks the same question: parameters of one role with the same slices asleep."""
        return (role_of(name), tuple(self.first.get(name, ())))

    def is_factor(self, name: str) -> bool:
        """Not a bias or shift, which is added and not multiplied: zero is its law."""
        return self.laws.get(name) != Law(0.0, 0.0)

    def zero_slices(self, name: str) -> list[int]:
        """Stuck slices that hold nothing but zeros."""
        start = self.replica.start_of(name)
        flat = start.reshape(start.shape[0], -1) if start.dim() else start.reshape(1, 1)
        return [place for place in self.asleep(name) if not bool(flat[place].any())]


def at_slices(which: Tensor, value: Tensor, noise: Tensor) -> Tensor:
    """``value`` plus its scale times ``noise`` in these slices along axis 0."""
    places = which.to(value.device)
    places = places.view(-1, *[1] * (value.dim() - 1)) if value.dim() else places[0]
    return torch.where(places, value + steps.scale_of(value) * noise, value)


def role_of(name: str) -> str:
    """The name without its numbers: layer after layer plays one role."""
    return re.sub(r"\d+", "#", name)


def distance(one: Tensor, other: Tensor) -> float:
    """Largest difference relative to the largest entry of ``one``; infinite where they cannot be compared."""
    if one.shape != other.shape:
        return math.inf
    gap = float((one - other).abs().max()) if one.numel() else 0.0
    size = float(one.abs().max()) if gap else 1.0
    return gap / size if math.isfinite(gap) and size else math.inf
