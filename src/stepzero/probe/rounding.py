"""Which gradients are rounding alone: sizes of slices, and what a backward of a third of the loss tells of them."""

from collections.abc import Iterable

import torch
from torch import Tensor

Sizes = dict[str, Tensor | None]
"""For each trainable parameter one number a slice: 0 no gradient, negative rounding alone; None without a path."""
_OF_NOISE = 8.0
"""A gradient is zero when it is no more than so many times what another rounding changes in it."""
FAINT, FAINT_AS_IS = 1e-9, 1e-4
"""Of the largest gradient: rounding leaves 1e-16 of each term, in any number of terms that can be run; 6e-8 of it in
float32, and terms that cancel may be a thousand times as large as what does not."""


def slice_norms(gradient: Tensor) -> Tensor:
    """[slices along axis 0]; largest magnitudes, which unlike squares do not underflow."""
    flat = gradient.detach()
    if flat.dim() > 1 and flat.numel() and not flat.is_complex():
        rows = flat.flatten(1)
        flat = torch.maximum(rows.amax(1), -rows.amin(1))  # no copy of the whole
    elif flat.dim() > 1 and flat.numel():
        flat = flat.abs().flatten(1).amax(1)
    return flat.abs().reshape(-1).to("cpu", torch.float64)


def largest(sizes: Sizes) -> float:
    """Size of the largest gradient; 0 without any."""
    return max((float(each.max()) for each in sizes.values() if each is not None and each.numel()), default=0.0)


def faint(sizes: Sizes, limit: float, asked: Iterable[str]) -> list[str]:
    """Parameters ``asked`` for with a gradient that is not zero and small enough to be what rounding left of others."""
    found = ((name, each) for name in asked if (each := sizes.get(name)) is not None)
    return [name for name, each in found if bool(((each > 0) & (each < limit)).any())]


def floor(one: Tensor | None, third: Tensor | None) -> float:
    """How large what rounding leaves of a gradient can be: several times what another rounding changes in it."""
    if one is None or third is None or not one.numel():
        return 0.0
    return _OF_NOISE * float(slice_norms(one - 3 * third).max())


def told_apart(norms: Tensor | None, least: float) -> Tensor | None:
    """Sizes, negative where they are no more than rounding."""
    return None if norms is None else torch.where((norms > 0) & (norms <= least), -norms, norms)
