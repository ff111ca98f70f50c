"""A bounded, evenly spaced sample of a tensor, laid out as rows (positions) x units.

Shapes: R rows = samples x places, U units. The sample is what keeps the cost of looking independent of the size
of an activation: at most `ACTIVATION_ROWS` positions and about `MAX_ELEMENTS` numbers are read.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 32
"""Positions read of an ordinary result: a mean square to 18 % a unit, and much better over a layer's units."""
ACTIVATION_ROWS = 64
"""Positions read of an activation, where the rare event counts: a unit on at 3 % of positions is seen to be alive."""
MIN_ROWS = 32
MAX_ELEMENTS = 1 << 15
MAX_UNITS = 4096
MIN_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read one shape: per axis of the result (batch, places..., units) its count, its start and its step."""

    axes: tuple[int, ...]
    counts: tuple[int, ...]
    steps: tuple[int, ...]
    starts: tuple[int, ...]
    samples: int
    places: int
    units: int

    @property
    def rows(self) -> int:
        """Positions read: samples x places."""
        return self.samples * self.places


@functools.lru_cache(maxsize=4096)
def plan_of(shape: tuple[int, ...], unit_axis: int, rows: int = ROWS) -> Plan | None:
    """Plan the reading of ``shape``; None for an empty tensor. ``unit_axis`` must be a valid non-negative axis."""
    if 0 in shape or not shape:
        return None
    others = [axis for axis in range(len(shape)) if axis != unit_axis]
    units = min(shape[unit_axis], MAX_UNITS)
    budget = max(MIN_ROWS, min(rows, MAX_ELEMENTS // units))
    counts = _spread(tuple(shape[axis] for axis in others), budget)
    order = (*others, unit_axis)
    counts = (*counts, units)
    steps = tuple(shape[axis] // count for axis, count in zip(order, counts, strict=True))
    starts = tuple(
        (shape[axis] - (count - 1) * step - 1) // 2 for axis, count, step in zip(order, counts, steps, strict=True)
    )
    samples = counts[0] if others else 1
    places = 1
    for count in counts[1:-1]:
        places *= count
    return Plan(order, counts, steps, starts, samples, places, units)


def _spread(sizes: tuple[int, ...], budget: int) -> tuple[int, ...]:
    """Share ``budget`` positions over axes: first (batch) at least `MIN_SAMPLES`, then the longest axis doubles."""
    if not sizes:
        return ()
    counts = [1] * len(sizes)
    places = 1
    for size in sizes[1:]:
        places *= size
    counts[0] = min(sizes[0], max(MIN_SAMPLES, budget // places))
    room = max(1, budget // counts[0])
    while True:
        axis = max(range(1, len(sizes)), key=lambda i: sizes[i] / counts[i], default=0)
        if axis == 0 or counts[axis] >= sizes[axis]:
            return tuple(counts)
        grown = min(sizes[axis], counts[axis] * 2)
        others = 1
        for other in range(1, len(sizes)):
            others *= counts[other] if other != axis else 1
        if others * grown > room:
            counts[axis] = max(counts[axis], min(sizes[axis], room // others))
            return tuple(counts)
        counts[axis] = grown


def rows_of(tensor: Tensor, plan: Plan) -> Tensor:
    """Copy the sample of ``tensor`` as a contiguous [R, U] matrix in its own real dtype; complex by magnitude."""
    source = tensor.detach()
    stride = source.stride()
    strides = [stride[axis] * step for axis, step in zip(plan.axes, plan.steps, strict=True)]
    offset = source.storage_offset()
    for axis, start in zip(plan.axes, plan.starts, strict=True):
        offset += stride[axis] * start
    view = source.as_strided(plan.counts, strides, offset)
    if view.is_complex():
        view = view.abs()
    return view.clone(memory_format=torch.contiguous_format).view(plan.rows, plan.units)


def wide(tensor: Tensor) -> torch.dtype:
    """The dtype sums are taken in: float64 wherever the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
