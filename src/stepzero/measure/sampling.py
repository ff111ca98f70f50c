"""A bounded, evenly spaced sample of a tensor, laid out as rows (positions) x units.

Shapes: R rows = samples x places, U units. The sample is what keeps the cost of looking independent of the size
of an activation: at most `ACTIVATION_ROWS` positions and about `MAX_ELEMENTS` numbers are read.
"""

import functools
import math
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
    """How to read one shape: per axis of the result (batch, places..., units) how many entries, and how far apart."""

    axes: tuple[int, ...]
    counts: tuple[int, ...]
    steps: tuple[int, ...]
    samples: int
    places: int
    units: int
    gathered: int | None = None
    """Size of the last position axis when it is read at unevenly rounded positions, both ends included."""

    @property
    def rows(self) -> int:
        """Positions read: samples x places."""
        return self.samples * self.places


@functools.lru_cache(maxsize=4096)
def plan_of(shape: tuple[int, ...], unit_axis: int, rows: int = ROWS) -> Plan | None:
    """Plan the reading of ``shape``; None for an empty tensor. ``unit_axis`` must be a valid non-negative axis.

    Reading starts at position 0, never centred: class tokens sit there, and strided readers of a map read even
    positions. Tables and sequences are read at both ends, because a gradient may arrive at the last step alone.
    """
    if 0 in shape or not shape:
        return None
    others = [axis for axis in range(len(shape)) if axis != unit_axis]
    units = min(shape[unit_axis], MAX_UNITS)
    budget = max(MIN_ROWS, min(rows, MAX_ELEMENTS // units))
    counts = (*_spread(tuple(shape[axis] for axis in others), budget), units)
    order = (*others, unit_axis)
    steps = [shape[axis] // count for axis, count in zip(order, counts, strict=True)]
    gathered = None
    if 1 <= len(others) <= 2 and 1 < counts[-2] < shape[others[-1]]:
        gathered, steps[-2] = shape[others[-1]], 1
    samples = counts[0] if others else 1
    return Plan(order, counts, tuple(steps), samples, math.prod(counts[1:-1]), units, gathered)


def _spread(sizes: tuple[int, ...], budget: int) -> tuple[int, ...]:
    """Share ``budget`` positions over axes: first (batch) at least `MIN_SAMPLES`, then the longest axis doubles."""
    if not sizes:
        return ()
    counts = [1] * len(sizes)
    places = math.prod(sizes[1:])
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
    return sample_of(tensor, plan).view(plan.rows, plan.units)


def sample_of(tensor: Tensor, plan: Plan) -> Tensor:
    """The same numbers, contiguous and with one axis for each of the plan's: many samples take on rows together."""
    source = tensor.detach() if tensor.requires_grad else tensor
    if source.is_neg() or source.is_conj():
        source = source.resolve_neg().resolve_conj()
    stride = source.stride()
    strides = [stride[axis] * step for axis, step in zip(plan.axes, plan.steps, strict=True)]
    if plan.gathered is None:  # one call: the model's own kernels have emptied the caches
        copied = torch.as_strided_copy(source, plan.counts, strides, source.storage_offset())
    else:
        counts = (*plan.counts[:-2], plan.gathered, plan.counts[-1])
        view = source.as_strided(counts, strides, source.storage_offset())
        copied = view.index_select(-2, _ends_included(plan.gathered, plan.counts[-2], source.device)).contiguous()
    return copied.abs() if copied.is_complex() else copied


@functools.lru_cache(maxsize=1024)
def _ends_included(size: int, count: int, device: torch.device) -> Tensor:
    return torch.linspace(0, size - 1, count, dtype=torch.float64).round().long().to(device)


def wide(tensor: Tensor) -> torch.dtype:
    """The dtype sums are taken in: float64 wherever the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
