"""Fans against the exact oracle: with ones in weight and input the output *is* n, the gradient of its sum *is* m."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from stepzero.measure import fans

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def interior_mean(tensor: Tensor, stride: tuple[int, ...], margin: tuple[int, ...]) -> float:
    """Mean over whole stride periods of the spatial axes, ``margin`` away from both ends."""
    spatial = tensor.dim() - 2
    for axis in range(spatial):
        size = tensor.shape[2 + axis]
        length = (size - 2 * margin[axis]) // stride[axis] * stride[axis]
        assert length > 0
        tensor = tensor.narrow(2 + axis, margin[axis], length)
    return tensor.mean().item()


@st.composite
def convolutions(draw: Any) -> dict[str, Any]:
    rank = draw(st.integers(1, 2))
    axes = st.tuples(*[st.integers(1, 4)] * rank)
    groups = draw(st.integers(1, 3))
    return {
        "rank": rank,
        "groups": groups,
        "into": groups * draw(st.integers(1, 3)),
        "out": groups * draw(st.integers(1, 3)),
        "kernel": draw(axes),
        "stride": draw(st.tuples(*[st.integers(1, 3)] * rank)),
        "dilation": draw(st.integers(1, 2)),
    }


def measured(setting: dict[str, Any], *, transposed: bool) -> tuple[float, float]:
    """(n, m) of a real convolution of ones."""
    rank, groups, stride = setting["rank"], setting["groups"], setting["stride"]
    pair = setting["into"], setting["out"]
    shape = (pair[0], pair[1] // groups) if transposed else (pair[1], pair[0] // groups)
    weight = torch.ones(*shape, *setting["kernel"], dtype=torch.float64)
    x = torch.ones(1, setting["into"], *[24] * rank, dtype=torch.float64, requires_grad=True)
    run = (TRANSPOSED if transposed else CONVOLUTIONS)[rank]
    output = run(x, weight, stride=stride, groups=groups, dilation=setting["dilation"])
    (gradient,) = torch.autograd.grad(output.sum(), x)
    margin = tuple(setting["dilation"] * (size - 1) for size in setting["kernel"])
    none = (0,) * rank
    if transposed:
        return interior_mean(output, stride, margin), interior_mean(gradient, (1,) * rank, none)
    return interior_mean(output, (1,) * rank, none), interior_mean(gradient, stride, margin)


@settings(max_examples=40)
@given(convolutions())
@example({"rank": 2, "groups": 8, "into": 8, "out": 16, "kernel": (3, 3), "stride": (1, 1), "dilation": 1})
def test_convolution(setting: dict[str, Any]) -> None:
    shape = (setting["out"], setting["into"] // setting["groups"], *setting["kernel"])
    said = fans.convolution_fans(shape, setting["groups"], setting["stride"])
    assert said == pytest.approx(measured(setting, transposed=False), rel=1e-12)


@settings(max_examples=40)
@given(convolutions())
@example({"rank": 1, "groups": 1, "into": 2, "out": 2, "kernel": (3,), "stride": (2,), "dilation": 1})
@example({"rank": 2, "groups": 1, "into": 4, "out": 3, "kernel": (1, 1), "stride": (3, 2), "dilation": 1})  # with holes
def test_transposed_convolution(setting: dict[str, Any]) -> None:
    """A stride that does not divide the kernel included: phases differ, and their mean is the fan."""
    shape = (setting["into"], setting["out"] // setting["groups"], *setting["kernel"])
    said = fans.transposed_convolution_fans(shape, setting["groups"], setting["stride"])
    assert said == pytest.approx(measured(setting, transposed=True), rel=1e-12)


@pytest.mark.parametrize(
    ("said", "published"),
    [
        (fans.convolution_fans((64, 1, 3, 3), 64, (1, 1)), (9, 9)),  # depthwise
        (fans.convolution_fans((128, 16, 3, 3), 4, (1, 1)), (144, 288)),  # grouped
        (fans.convolution_fans((128, 64, 3, 3), 1, (2, 2)), (576, 288)),  # stride 2
        (fans.transposed_convolution_fans((64, 128, 4, 4), 1, (2, 2)), (256, 2048)),
    ],
)
def test_the_numbers_of_the_notes(said: tuple[float, float], published: tuple[float, float]) -> None:
    assert said == published


def test_three_dimensions() -> None:
    weight, x = torch.ones(4, 2, 2, 3, 2), torch.ones(1, 2, 12, 12, 12, requires_grad=True)
    output = F.conv3d(x, weight, stride=(2, 1, 2))
    (gradient,) = torch.autograd.grad(output.sum(), x)
    assert fans.convolution_fans((4, 2, 2, 3, 2), 1, (2, 1, 2)) == (
        output.mean().item(),
        interior_mean(gradient, (2, 1, 2), (1, 2, 1)),
    )


def test_linear() -> None:
    x = torch.ones(3, 7, requires_grad=True)
    output = F.linear(x, torch.ones(5, 7))
    (gradient,) = torch.autograd.grad(output.sum(), x)
    assert fans.linear_fans(5, 7) == (output[0, 0].item(), float(gradient[0, 0]))


EQUATIONS = [
    ("bi,oi->bo", 1),
    ("bi,io->bo", 1),
    ("btd,hde->bhte", 1),
    ("bhte,hed->btd", 1),
    ("bti,io", 1),
    ("io,bi->ob", 0),
    ("ebi,eio->ebo", 1),  # experts: e is shared with the data
    ("ebi,eoi->ebo", 1),
    ("bi,ijk,bj->bk", 1),  # bilinear
    ("bthd,d->bth", 1),
    ("bt,d->btd", 1),
    ("b...i,io->b...o", 1),
    ("bi, oi -> b o", 1),
    ("bti,oi->bo", 1),  # t is summed as well
    ("...i,oi", 1),
]

ORDINARY = [equation for equation, _ in EQUATIONS[:9] if equation.count(",") == 1]
"""Every summed index is one of the weight: the product over its own axes says the same."""


@pytest.mark.parametrize(("equation", "position"), EQUATIONS)
def test_einsum(equation: str, position: int) -> None:
    sizes = dict(zip("bthdeijko", (2, 3, 4, 5, 6, 7, 8, 9, 10), strict=True))
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    shapes = [[sizes[letter] for letter in term.replace("...", "t")] for term in terms]
    operands = [torch.ones(shape, requires_grad=True) for shape in shapes]
    output = torch.einsum(equation, *operands)
    data = next(index for index in range(len(terms)) if index != position)
    (gradient,) = torch.autograd.grad(output.sum(), operands[data])
    assert output.min() == output.max()
    assert fans.einsum_fans(equation, shapes, position) == (float(output.min().detach()), float(gradient.flatten()[0]))
    axes = fans.einsum_axes(equation, position)
    if equation in ORDINARY:
        assert axes is not None
        assert fans.contraction_fans(shapes[position], axes) == fans.einsum_fans(equation, shapes, position)


@pytest.mark.parametrize(
    ("equation", "axes"),
    [
        ("btd,hde->bhte", ("out", "in", "out")),
        ("ebi,eio->ebo", ("group", "in", "out")),
        ("bt,d->btd", ("out",)),
        ("bi,i->bi", ("group",)),
        ("ba,ca", ("out", "in")),  # implicit output: letters that occur once
    ],
)
def test_the_role_of_each_axis(equation: str, axes: tuple[str, ...]) -> None:
    assert fans.einsum_axes(equation, 1) == axes


@pytest.mark.parametrize(("equation", "position"), [("bi,...i->b...", 1), ("bi,oi->bo", 2)])
def test_axes_that_cannot_be_read(equation: str, position: int) -> None:
    assert fans.einsum_axes(equation, position) is None


@pytest.mark.parametrize("axes", [("in", "out"), ("out", "in"), ("group", "in", "out"), ("in",), ("group", "out")])
def test_contraction_counts_each_role_once(axes: tuple[str, ...]) -> None:
    shape = [3, 5, 7][: len(axes)]
    said = fans.contraction_fans(shape, axes)
    assert said == tuple(
        math.prod(size for size, axis in zip(shape, axes, strict=True) if axis == role) for role in ("in", "out")
    )


@pytest.mark.parametrize(("mode", "fan"), [("sum", 10.0), ("mean", 0.1)])
def test_a_bag_multiplies_the_variance_of_its_rows(mode: str, fan: float) -> None:
    assert fans.bag_fan(10, mode) == pytest.approx(fan)
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(10_000, 32, generator=generator)
    rows = torch.randperm(10_000, generator=generator).reshape(1000, 10)
    output = F.embedding_bag(rows, table, mode=mode)
    assert output.var().item() == pytest.approx(fan, rel=0.03)


def test_a_bag_by_its_largest_has_no_fan() -> None:
    assert fans.bag_fan(10, "max") is None
