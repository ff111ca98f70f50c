"""Follow a parameter through transposes, slices and casts, so that its axes keep their meaning at the operation.

A true view shares the memory of what it was taken from, so its strides say which axis is which, also where two axes
are of one size. Copies are told by name, and by sizes that cannot be mistaken.
"""

import functools
import math
from dataclasses import replace

from torch import Tensor

from stepzero.probe.nodes import View
from stepzero.probe.restore import storage_pointer

_CASTS = frozenset(
    "to float double half bfloat16 type type_as cpu cuda detach contiguous clone alias data requires_grad identity "
    "expand_as positive resolve_conj resolve_neg".split()
)
Part = tuple[int, int, int]
"""Axis, start, length."""


def through(name: str, view: View, operand: Tensor, before: tuple[int, ...], result: Tensor) -> View:
    """Return the view after the view-like operation ``name``; its axes are None where their meaning is lost.

    ``before`` is the shape of ``operand`` ahead of the call, which differs after ``t_()`` and its relatives.
    """
    after = tuple(result.shape)
    if shares_memory(operand, result) and before == tuple(operand.shape):
        origin = origin_of(operand, result)
        axes = tuple(view.axes[axis] if axis is not None else None for axis in origin)
        return replace(view, axes=axes, part=_part(view, _cut(operand, result, origin)))
    if before == after or (name in _CASTS and len(after) == len(before)):
        return view
    if name == "view_as_real":
        return replace(view, axes=(*view.axes, None))
    return replace(view, axes=_matched(view.axes, before, after))


def shares_memory(operand: Tensor, result: Tensor) -> bool:
    """Whether ``result`` is a view of ``operand`` whose strides count the same elements."""
    pointer = storage_pointer(operand)
    return pointer != 0 and pointer == storage_pointer(result) and operand.dtype == result.dtype


def origin_of(operand: Tensor, result: Tensor) -> tuple[int | None, ...]:
    """For each axis of a view the axis of ``operand`` it runs along; None for merged, split and new ones."""
    return _origin(operand.shape, operand.stride(), result.shape, result.stride())


@functools.lru_cache(maxsize=4096)  # a model repeats few layouts many times
def _origin(
    sizes: tuple[int, ...], strides: tuple[int, ...], shape: tuple[int, ...], steps: tuple[int, ...]
) -> tuple[int | None, ...]:
    along = [_run(size, step, sizes, strides) for size, step in zip(shape, steps, strict=True)]
    is_slice = math.prod(shape) < math.prod(sizes)
    origin: list[int | None] = []
    for size, axis in zip(shape, along, strict=True):
        is_clear = axis is not None and along.count(axis) == 1 and (is_slice or size == sizes[axis])
        origin.append(axis if is_clear else None)
    _place_ones(origin, shape, sizes)
    return tuple(origin)


def _run(size: int, step: int, sizes: tuple[int, ...], strides: tuple[int, ...]) -> int | None:
    """The only axis inside which ``size`` steps of ``step`` stay."""
    if size == 1 or step == 0:
        return None
    fitting = [
        axis
        for axis, (length, stride) in enumerate(zip(sizes, strides, strict=True))
        if length > 1 and stride > 0 and step % stride == 0 and step // stride * (size - 1) < length
    ]
    return fitting[0] if len(fitting) == 1 else None


def _place_ones(origin: list[int | None], after: tuple[int, ...], before: tuple[int, ...]) -> None:
    """Axes of size one have no direction: they keep their order when none came or went."""
    old = [axis for axis, size in enumerate(before) if size == 1]
    new = [axis for axis, size in enumerate(after) if size == 1]
    if len(old) == len(new):
        for axis, source in zip(new, old, strict=True):
            origin[axis] = source


def _cut(operand: Tensor, result: Tensor, origin: tuple[int | None, ...]) -> list[Part]:
    """(axis, start, length) of each axis of ``operand`` that a contiguous slice reads in part; [] for other slices."""
    if result.numel() == operand.numel():
        return []
    offset = result.storage_offset() - operand.storage_offset()
    parts = []
    for axis in sorted(range(operand.dim()), key=operand.stride, reverse=True):
        size, stride = operand.shape[axis], operand.stride(axis)
        if size == 1 or stride == 0:
            continue
        start, offset = divmod(int(offset), stride)
        place = origin.index(axis) if axis in origin else None
        length = result.shape[place] if place is not None else 1
        if place is not None and length > 1 and result.stride(place) != stride:
            return []  # every second row is no slice that a start and a length describe
        if length < size:
            parts.append((axis, start, length))
    return parts


def _part(view: View, parts: list[Part]) -> Part | None:
    """The slice in terms of the parameter; one axis is all that can be said."""
    if len(parts) != 1 or view.axes[parts[0][0]] is None:
        return view.part
    operand_axis, start, length = parts[0]
    axis = view.axes[operand_axis]
    if view.part is None:
        return (axis, start, length) if axis is not None else None
    return (axis, view.part[1] + start, length) if axis == view.part[0] else view.part


def _matched(axes: tuple[int | None, ...], before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int | None, ...]:
    """Axes of a copy: those that match from the left or the right, if no other axis has their size."""
    kept: list[int | None] = [None] * len(after)
    for step in (range(min(len(before), len(after))), range(-1, -min(len(before), len(after)) - 1, -1)):
        for i in step:
            if before[i] != after[i]:
                break
            if before.count(before[i]) == 1:
                kept[i] = axes[i]
    return tuple(kept)
