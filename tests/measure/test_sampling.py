"""The bounded sample: every layout of memory reads the same numbers, and never more than the bound."""

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from stepzero.measure.sampling import (
    ACTIVATION_ROWS,
    MAX_UNITS,
    MIN_ROWS,
    MIN_SAMPLES,
    ROWS,
    Plan,
    plan_of,
    rows_of,
    wide,
)

SHAPES = st.lists(st.integers(1, 40), min_size=1, max_size=5).filter(lambda shape: math.prod(shape) <= 60_000)


@st.composite
def readings(draw: Any) -> tuple[tuple[int, ...], int, int]:
    """A shape, one of its axes, and a number of rows."""
    shape = tuple(draw(SHAPES))
    return shape, draw(st.integers(0, len(shape) - 1)), draw(st.sampled_from([ROWS, ACTIVATION_ROWS, 7]))


LAYOUTS = {
    "contiguous": lambda tensor: tensor.contiguous(),
    "reversed axes": lambda tensor: (
        tensor.permute(*range(tensor.dim())[::-1]).contiguous().permute(*range(tensor.dim())[::-1])
    ),
    "every second of a larger one": lambda tensor: _inside(tensor),
    "channels last": lambda tensor: (
        tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
    ),
    "transposed copy": lambda tensor: tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor,
}


def _inside(tensor: Tensor) -> Tensor:
    """The same numbers with steps and an offset: every second entry of each axis of a larger tensor."""
    larger = torch.full([2 * size + 1 for size in tensor.shape], -1.0, dtype=tensor.dtype)
    view = larger[tuple(slice(1, None, 2) for _ in tensor.shape)]
    view.copy_(tensor)
    return view


def places_read(shape: tuple[int, ...], plan: Plan) -> list[Tensor]:
    """For each axis the coordinate [R, U] of every number that is read."""
    coordinates = []
    for axis, size in enumerate(shape):
        line = torch.arange(size, dtype=torch.float64).view(
            [-1 if number == axis else 1 for number in range(len(shape))]
        )
        coordinates.append(rows_of(line.expand(shape), plan).long())
    return coordinates


@settings(max_examples=80)
@given(readings(), st.sampled_from(sorted(LAYOUTS)))
@example(((3, 4, 5, 6), 1, ROWS), "channels last")
@example(((40, 3, 16, 16), 1, ACTIVATION_ROWS), "channels last")
def test_rows_are_the_indexed_numbers_in_every_layout(reading: Any, layout: str) -> None:
    shape, axis, rows = reading
    plan = plan_of(shape, axis, rows)
    assert plan is not None
    numbered = torch.arange(math.prod(shape), dtype=torch.float32).view(shape)
    laid_out = LAYOUTS[layout](numbered)
    assert torch.equal(laid_out, numbered)
    read = rows_of(laid_out, plan)
    assert read.is_contiguous()
    assert read.shape == (plan.rows, plan.units)
    assert torch.equal(read, numbered[tuple(places_read(shape, plan))])


@settings(max_examples=80)
@given(readings())
def test_rows_are_positions_and_columns_are_units(reading: Any) -> None:
    shape, axis, rows = reading
    plan = plan_of(shape, axis, rows)
    assert plan is not None
    coordinates = places_read(shape, plan)
    units = coordinates[axis]
    assert (units == units[:1]).all()
    assert len(units[0].unique()) == plan.units == min(shape[axis], MAX_UNITS)
    positions = torch.stack([place for number, place in enumerate(coordinates) if number != axis] or [units * 0])
    assert (positions == positions[:, :, :1]).all()
    assert len(positions[:, :, 0].unique(dim=1).T) == plan.rows  # no position is read twice


@settings(max_examples=80)
@given(readings())
def test_reading_is_bounded_spread_and_starts_at_the_first(reading: Any) -> None:
    shape, axis, rows = reading
    plan = plan_of(shape, axis, rows)
    assert plan is not None
    assert plan.rows <= max(MIN_ROWS, rows)
    for coordinate, size in zip(places_read(shape, plan), shape, strict=True):
        read = coordinate.unique()
        assert read[0] == 0
        assert len(read) == 1 or read[-1] - read[0] + 1 >= size / 2


@pytest.mark.parametrize("shape", [(1000, 8), (33, 8), (16, 500, 8), (4, 77, 8)])
def test_tables_and_sequences_are_read_at_both_ends(shape: tuple[int, ...]) -> None:
    plan = plan_of(shape, len(shape) - 1)
    assert plan is not None
    read = places_read(shape, plan)[-2].unique()
    assert (read[0], read[-1]) == (0, shape[-2] - 1)


@settings(max_examples=60)
@given(readings())
def test_batch_entries_are_distinct_and_as_many_as_can_be(reading: Any) -> None:
    shape, axis, rows = reading
    plan = plan_of(shape, axis, rows)
    assert plan is not None
    batch = next((number for number in range(len(shape)) if number != axis), None)
    if batch is None:
        assert plan.samples == plan.rows == 1
        return
    entries = places_read(shape, plan)[batch].view(plan.samples, plan.places, plan.units)
    assert (entries == entries[:, :1, :1]).all()  # entries are the slow index of the rows
    assert len(entries[:, 0, 0].unique()) == plan.samples >= min(shape[batch], MIN_SAMPLES)


@pytest.mark.parametrize("shape", [(5,), (ROWS, 9), (4, 2, 4, 7)])
def test_a_small_tensor_is_read_whole(shape: tuple[int, ...]) -> None:
    numbered = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    plan = plan_of(shape, len(shape) - 1)
    assert plan is not None
    assert torch.equal(rows_of(numbered, plan), numbered.view(-1, shape[-1]))


def test_a_large_tensor_costs_no_more_than_the_bound() -> None:
    vast = torch.zeros(()).expand(1 << 20, 1 << 10, 1 << 16)  # 2^46 numbers that take no memory
    plan = plan_of(tuple(vast.shape), 2)
    assert plan is not None
    assert plan.units == MAX_UNITS
    assert plan.rows == ROWS
    assert rows_of(vast, plan).shape == (ROWS, MAX_UNITS)


@pytest.mark.parametrize("shape", [(), (0,), (4, 0), (0, 3, 2)])
def test_nothing_to_read(shape: tuple[int, ...]) -> None:
    assert plan_of(shape, 0) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rows_keep_their_dtype_and_sums_are_wide(dtype: torch.dtype) -> None:
    tensor = torch.ones(3, 4, dtype=dtype)
    plan = plan_of((3, 4), 1)
    assert plan is not None
    assert rows_of(tensor, plan).dtype == dtype
    assert wide(tensor) == torch.float64


def test_complex_numbers_are_read_by_magnitude_conjugated_or_not() -> None:
    numbers = torch.tensor([[3 + 4j, 5 - 12j], [8j, -7 + 24j]])
    plan = plan_of((2, 2), 1)
    assert plan is not None
    expected = torch.tensor([[5.0, 13.0], [8.0, 25.0]])
    assert torch.equal(rows_of(numbers, plan), expected)
    assert torch.equal(rows_of(numbers.conj(), plan), expected)


def test_a_lazily_negated_view_is_read_with_its_sign() -> None:
    negated = torch.tensor([[1 + 2j, 3 - 4j]]).conj().imag
    assert negated.is_neg()
    plan = plan_of((1, 2), 1)
    assert plan is not None
    assert rows_of(negated, plan).tolist() == [[-2.0, 4.0]]


def test_rows_are_a_copy_cut_off_from_the_graph() -> None:
    tensor = torch.ones(2, 3, requires_grad=True)
    plan = plan_of((2, 3), 1)
    assert plan is not None
    rows = rows_of(tensor, plan)
    assert not rows.requires_grad
    rows.zero_()
    assert (tensor == 1).all()
