"""Follow a parameter through transposes, slices and casts, so that its axes keep their meaning at the operation."""

from typing import Any

from torch import Tensor

from stepzero.probe.nodes import View

_CASTS = frozenset(
    "to float double half bfloat16 type type_as cpu cuda detach contiguous clone alias data requires_grad identity "
    "expand_as positive resolve_conj resolve_neg".split()
)


def through(name: str, view: View, args: tuple[Any, ...], before: tuple[int, ...], result: Tensor) -> View:
    """Return the view after the view-like operation ``name``; its axes are None where their meaning is lost."""
    after = tuple(result.shape)
    axes = _axes(name, view.axes, args, before, after)
    return View(view.parameter, axes, view.part, view.is_derived)


def _axes(
    name: str, axes: tuple[int | None, ...], args: tuple[Any, ...], before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[int | None, ...]:
    rank = len(before)
    if name in ("t", "T", "mT", "H", "mH", "adjoint") and rank >= 2:
        return axes[::-1] if name in ("t", "T", "H") else (*axes[:-2], axes[-1], axes[-2])
    if name == "transpose" and len(args) >= 3:
        return _swapped(axes, args[1] % rank, args[2] % rank)
    if name == "permute":
        order = args[1] if isinstance(args[1], tuple | list) else args[1:]
        return tuple(axes[axis % rank] for axis in order)
    if name in _CASTS and len(after) == rank:
        return axes
    if before == after:
        return axes
    return _matched(axes, before, after)


def _swapped(axes: tuple[int | None, ...], a: int, b: int) -> tuple[int | None, ...]:
    swapped = list(axes)
    swapped[a], swapped[b] = swapped[b], swapped[a]
    return tuple(swapped)


def _matched(axes: tuple[int | None, ...], before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int | None, ...]:
    """Axes of a reshape, slice or (un)squeeze: keep those that match from the left, then from the right, by size."""
    kept: list[int | None] = [None] * len(after)
    for i, (a, b) in enumerate(zip(before, after, strict=False)):
        if a != b:
            break
        kept[i] = axes[i]
    for i in range(1, min(len(before), len(after)) + 1):
        if before[-i] != after[-i] or kept[-i] is not None:
            break
        kept[-i] = axes[-i]
    return tuple(kept)
