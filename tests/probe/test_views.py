"""A parameter followed through views: each axis keeps its meaning, told by where the elements themselves went."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stepzero.core.trace import ParameterUse
from stepzero.probe.nodes import View
from stepzero.probe.views import through
from tests.probe.observing import seeded, seen, use_of

SHAPES = [(3, 4, 5), (3, 3, 3), (4, 4, 2), (2, 4, 4), (4, 2, 4), (4, 6), (4, 4), (2, 3, 4, 5), (3, 3, 3, 3), (1, 4, 4)]
VIEWS = {
    "t": lambda p: p.t(),
    "mT": lambda p: p.mT,
    "transpose": lambda p: p.transpose(0, -1),
    "transpose by name": lambda p: p.transpose(dim0=0, dim1=1),
    "permute": lambda p: p.permute(1, 2, 0),
    "permute by name": lambda p: torch.permute(p, dims=(2, 0, 1)),
    "movedim": lambda p: p.movedim(0, -1),
    "getitem": lambda p: p[0],
    "getitem of the second axis": lambda p: p[:, 0],
    "getitem of the last axis": lambda p: p[..., 1],
    "getitem with a new axis": lambda p: p[:, None],
    "slice": lambda p: p[:, 1:],
    "step": lambda p: p[..., ::2],
    "select": lambda p: p.select(1, 0),
    "narrow": lambda p: p.narrow(-1, 1, 1),
    "chunk": lambda p: p.chunk(2, -1)[-1],
    "unbind": lambda p: p.unbind(1)[0],
    "unsqueeze": lambda p: p.unsqueeze(1),
    "squeeze": lambda p: p.squeeze(),
    "flatten": lambda p: p.flatten(1),
    "view": lambda p: p.view(p.shape[0], -1),
    "reshape to swapped sizes": lambda p: p.reshape(p.shape[1], p.shape[0], -1),
    "expand": lambda p: p.unsqueeze(0).expand(3, *p.shape),
    "diagonal": lambda p: p.diagonal(dim1=0, dim2=1),
    "unflatten": lambda p: p.unflatten(-1, (1, -1)),
    "two in a row": lambda p: p.transpose(0, 1)[1],
}


def followed(parameter: Tensor, make: Any) -> tuple[View, Tensor]:
    """The view of ``make(parameter)`` and the result."""
    result = make(parameter)
    view = View("w", tuple(range(parameter.dim())))
    return through("getitem", view, parameter, tuple(parameter.shape), result), result


def numbered(shape: tuple[int, ...]) -> Tensor:
    return torch.arange(math.prod(shape)).reshape(shape)


def origin(result: Tensor, shape: tuple[int, ...]) -> list[set[int]]:
    """For each axis of ``result``: the axes of the parameter along which one moves with it, from the numbers in it."""
    places, rest = [], result
    for size in reversed(shape):
        places.insert(0, rest % size)
        rest = rest // size
    return [
        {axis for axis, place in enumerate(places) if (place.diff(dim=number) != 0).any()}
        for number in range(result.dim())
    ]


RANKS = {"t": 2, "permute": 3, "permute by name": 3}
PAIRS = [(name, shape) for name in VIEWS for shape in SHAPES if RANKS.get(name, len(shape)) == len(shape)]


@pytest.mark.parametrize(("name", "shape"), PAIRS)
def test_an_axis_is_the_one_its_elements_move_along(name: str, shape: tuple[int, ...]) -> None:
    parameter = numbered(shape)
    view, result = followed(parameter, VIEWS[name])
    assert len(view.axes) == result.dim()
    for axis, truth, size in zip(view.axes, origin(result, shape), result.shape, strict=True):
        if size > 1 and name != "reshape to swapped sizes":
            assert {axis} - {None} == (truth if len(truth) == 1 else set())
        if size > 1 and axis is not None:
            assert truth == {axis}


@pytest.mark.parametrize(
    ("make", "axes"),
    [
        (lambda p: p.expand(3, 5), (None, 0)),
        (lambda p: p.unsqueeze(1), (0, None)),
        (lambda p: p[None, :, None], (None, 0, None)),
    ],
)
def test_a_vector_keeps_its_axis_among_new_ones(make: Any, axes: tuple[int | None, ...]) -> None:
    assert followed(numbered((5,)), make)[0].axes == axes


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda p: p[2:5], (0, 2, 3)),
        (lambda p: p[:, 3:], (1, 3, 1)),
        (lambda p: p[:, -1], (1, 3, 1)),
        (lambda p: p.chunk(3)[1], (0, 2, 2)),
        (lambda p: p.split([2, 4])[1], (0, 2, 4)),
        (lambda p: p.t()[1], (1, 1, 1)),
        (lambda p: p.narrow(0, 4, 2).mT, (0, 4, 2)),
        (lambda p: p[::2], None),
        (lambda p: p, None),
        (lambda p: p[1:, 1:], None),
        (lambda p: p.view(3, 2, 4), None),
    ],
)
def test_a_slice_says_which(make: Any, part: tuple[int, int, int] | None) -> None:
    parameter = numbered((6, 4))
    view, result = followed(parameter, make)
    assert view.part == part
    if part is not None:
        axis, start, length = part
        assert set(result.flatten().tolist()) == set(parameter.narrow(axis, start, length).flatten().tolist())


def test_a_slice_of_a_slice_counts_from_the_start() -> None:
    parameter = numbered((8, 3))
    first, half = followed(parameter, lambda p: p[2:])
    second = through("getitem", first, half, tuple(half.shape), half[1:3])
    assert second.part == (0, 3, 2)
    other = through("getitem", second, half, tuple(half.shape), half[:, 1:])
    assert other.part == second.part  # a second axis cannot be said: the first stays


def weight_use(make: Any, weight: Tensor) -> ParameterUse:
    """The use of ``weight`` after ``make`` in a live product."""
    return use_of(seen(lambda self, x: F.linear(x, make(self.w)), seeded(5, 4), w=weight), "w")


@pytest.mark.parametrize(
    ("make", "weight", "axes", "part"),
    [
        (lambda w: w, seeded(4, 4), (0, 1), None),
        (lambda w: w.t(), seeded(4, 4), (1, 0), None),
        (lambda w: w.to(torch.float64).float(), seeded(6, 4), (0, 1), None),
        (lambda w: w.t().contiguous(), seeded(4, 6), (1, 0), None),
        (lambda w: w[:, :, 0, 0], seeded(6, 4, 1, 1), (0, 1), None),
        (lambda w: w[2], seeded(4, 4, 4), (1, 2), (0, 2, 1)),
        (lambda w: w.flatten(1), seeded(6, 2, 2), (0, None), None),
        (lambda w: w.chunk(3)[2], seeded(12, 4), (0, 1), (0, 8, 4)),
        (lambda w: w.detach(), seeded(6, 4), (0, 1), None),
    ],
)
def test_an_operation_sees_which_axes_and_which_part_it_reads(make: Any, weight: Tensor, axes: Any, part: Any) -> None:
    use = weight_use(make, weight)
    assert (use.slot, use.parameter_axes, use.part) == ("weight", axes, part)
    assert not use.is_derived


@pytest.mark.parametrize("make", [lambda w: 1 + w, lambda w: w * 2, lambda w: w / w.norm(), lambda w: F.normalize(w)])
def test_arithmetic_on_a_parameter_is_derived_and_loses_its_axes(make: Any) -> None:
    use = weight_use(make, seeded(6, 4))
    assert use.is_derived
    assert use.parameter_axes == (None, None)
    assert use.fan_in == 4.0


@pytest.mark.parametrize(
    ("name", "before", "after", "axes"),
    [
        ("to", (4, 4), (4, 4), (0, 1)),
        ("reshape", (2, 3, 4), (2, 12), (0, None)),
        ("reshape", (2, 3, 4), (6, 4), (None, 2)),
        ("reshape", (4, 4, 2), (4, 8), (None, None)),  # either axis of four may be the one
        ("view_as_real", (4, 4), (4, 4, 2), (0, 1, None)),
    ],
)
def test_copies_are_told_by_sizes_that_cannot_be_mistaken(name: str, before: Any, after: Any, axes: Any) -> None:
    view = View("w", tuple(range(len(before))))
    assert through(name, view, torch.zeros(before), before, torch.zeros(after)).axes == axes


def test_a_view_of_another_dtype_is_no_view_of_the_axes() -> None:
    numbers = torch.zeros(4, 4, dtype=torch.complex64)
    view = through("view_as_real", View("w", (0, 1)), numbers, (4, 4), torch.view_as_real(numbers))
    assert view.axes == (0, 1, None)
