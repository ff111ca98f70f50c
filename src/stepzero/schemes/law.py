"""What laws by fans have in common: fans, modes, gains and packed blocks.

A tensor says little about its fans: stride, groups, experts and transposed layouts are not in its shape. Schemes take
them as numbers (`stepzero.trace` counts them) and read the layout ``[out, in, *kernel]`` only when none are given.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Generator, Tensor

from stepzero.measure.elementwise import Activation
from stepzero.measure.fans import convolution_fans
from stepzero.measure.gain import activation_gain
from stepzero.schemes.drawing import CUT, Distribution, draw_, dtype_of

Mode = Literal["in", "out", "avg", "geo"]
Gain = float | Activation
Blocks = int | Sequence[int]
"""Equal slices along the first axis (a number), or their sizes."""


@dataclass(frozen=True, slots=True)
class Fans:
    """Fans of one block; a side that is neither given nor readable raises when a law asks for it."""

    given_in: float | None
    given_out: float | None
    shape: tuple[int, ...]

    @property
    def n(self) -> float:
        """Fan-in: weight x input terms summed into one output entry."""
        return self._side("fan_in", self.given_in, 0)

    @property
    def m(self) -> float:
        """Fan-out: output entries that one input entry reaches."""
        return self._side("fan_out", self.given_out, 1)

    def of(self, mode: Mode) -> float:
        """The fan a mode divides by: n, m, their mean, or their geometric mean."""
        if mode == "in":
            return self.n
        if mode == "out":
            return self.m
        if mode not in get_args(Mode):
            raise ValueError(f"mode: expected one of {', '.join(get_args(Mode))}; got {mode!r}")
        return (self.n + self.m) / 2 if mode == "avg" else math.sqrt(self.n * self.m)

    def _side(self, name: str, given: float | None, index: int) -> float:
        if given is None and len(self.shape) < 2:
            raise ValueError(f"{name}: a tensor of shape {self.shape} does not show its fans; pass {name}=")
        fan = convolution_fans(self.shape, 1, (1,))[index] if given is None else given
        if not (math.isfinite(fan) and fan > 0):
            raise ValueError(f"{name}: expected a positive number, got {fan:g}")
        return fan


def fill_(
    tensor: Tensor,
    std: Callable[[Fans], float],
    *,
    generator: Generator,
    fan_in: float | None = None,
    fan_out: float | None = None,
    distribution: Distribution = "normal",
    blocks: Blocks = 1,
    cut: float = CUT,
) -> Tensor:
    """Fill each block of ``tensor`` with numbers of the standard deviation that ``std`` makes of the block's fans."""
    dtype_of(tensor)
    if tensor.numel() == 0:
        return tensor
    for block in split(tensor, blocks):
        scale = std(Fans(fan_in, fan_out, tuple(block.shape)))
        draw_(block, scale, generator=generator, distribution=distribution, cut=cut)
    return tensor


def split(tensor: Tensor, blocks: Blocks) -> list[Tensor]:
    """Views of the blocks packed along the first axis."""
    flat = tensor.detach()
    if blocks == 1:
        return [flat]
    rows = flat.shape[0] if flat.dim() else 0
    if isinstance(blocks, int):
        if blocks < 1 or rows % blocks:
            raise ValueError(f"blocks: {rows} rows do not fall into {blocks} equal blocks; pass their sizes")
        return list(flat.split(rows // blocks)) if rows else [flat]
    if sum(blocks) != rows:
        raise ValueError(f"blocks: sizes {tuple(blocks)} sum to {sum(blocks)}, the first axis has {rows}")
    return list(flat.split(list(blocks)))


def gain_number(gain: Gain, mode: Mode = "in") -> float:
    """A gain as a number; a name, callable or module gives its exact one, backward for ``mode="out"``."""
    if isinstance(gain, int | float):
        return float(gain)
    return activation_gain(gain, mode="out" if mode == "out" else "in")
