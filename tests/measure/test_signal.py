"""Statistics of sampled signals against the plain torch formulas on tensors small enough to be read whole."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stepzero.measure import signal
from stepzero.measure.sampling import Plan, plan_of, rows_of

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def summarised(
    *tensors: Tensor, unit_axis: int = -1, with_range: bool = True, with_off: bool = False
) -> tuple[Tensor, Plan]:
    """Tables [N, rows, U] of tensors of one shape that are read whole."""
    shape = tuple(tensors[0].shape)
    plan = plan_of(shape, unit_axis % len(shape))
    assert plan is not None
    assert plan.rows * plan.units == tensors[0].numel()
    samples = torch.cat([rows_of(tensor, plan) for tensor in tensors], 1)
    table = signal.summary(samples, plan, with_range=with_range, with_off=with_off)
    return torch.stack(table.split(plan.units, 1)), plan


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("shape", "axis"), [((8, 5), -1), ((4, 3, 2, 2), 1), ((2, 4, 6), 2), ((7,), 0)])
def test_per_unit_statistics_are_those_of_the_whole_tensor(
    shape: tuple[int, ...], axis: int, dtype: torch.dtype
) -> None:
    tensor = drawn(*shape, dtype=dtype) * 3 + 1
    (table,), _ = summarised(tensor, unit_axis=axis)
    exact = tensor.double().movedim(axis, -1).reshape(-1, shape[axis])
    torch.testing.assert_close(table[signal.MEAN], exact.mean(0), **EXACT)
    torch.testing.assert_close(table[signal.SQUARE], exact.pow(2).mean(0), **EXACT)
    assert torch.equal(table[signal.LOW], exact.amin(0))
    assert torch.equal(table[signal.HIGH], exact.amax(0))
    assert table.dtype == torch.float64


def test_the_place_mean_square_is_of_the_mean_over_entries() -> None:
    tensor = drawn(4, 3, 2, 2)
    (table,), _ = summarised(tensor, unit_axis=1)
    expected = tensor.double().mean(0).pow(2).mean((1, 2))  # over entries, squared, over places; one a channel
    torch.testing.assert_close(table[signal.PLACE], expected, **EXACT)


def test_one_entry_leaves_nothing_that_varies_over_entries() -> None:
    tensor = drawn(1, 6, 3)
    (table,), _ = summarised(tensor)
    torch.testing.assert_close(table[signal.PLACE], tensor.double().mean((0, 1)).pow(2), **EXACT)


def test_the_off_share_counts_exact_zeros() -> None:
    tensor = torch.tensor([[0.0, 1e-30, 0.0], [0.0, 2.0, 3.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    (table,), _ = summarised(tensor, with_off=True)
    assert table[signal.OFF].tolist() == table[signal.FLAT].tolist() == [1.0, 0.25, 0.5]


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(2, 8), st.integers(1, 9))
def test_a_group_is_summarised_as_each_alone(count: int, rows: int, units: int) -> None:
    tensors = [drawn(rows, units, seed=number) for number in range(count)]
    together, _ = summarised(*tensors)
    for number, tensor in enumerate(tensors):
        (alone,), _ = summarised(tensor)
        torch.testing.assert_close(together[number], alone, **EXACT)


def prints(table: Tensor) -> Tensor:
    """[U, K]."""
    return table[1 : 1 + signal.PROJECTIONS].T


def test_copies_have_one_fingerprint_bit_for_bit_and_others_their_own() -> None:
    tensor = drawn(16, 12)
    tensor[:, 7] = tensor[:, 2]
    tensor[:, 9] = tensor[:, 2] * (1 + 1e-6)
    (table,), _ = summarised(tensor)
    units = prints(table)
    assert torch.equal(units[7], units[2])
    assert len(units.unique(dim=0)) == 11
    assert not torch.equal(units[9], units[2])


def test_units_with_one_mean_and_one_mean_square_are_told_apart() -> None:
    column = drawn(16, 1)
    tensor = torch.cat([column, column.flip(0), column.roll(1, 0)], 1)
    (table,), _ = summarised(tensor)
    torch.testing.assert_close(table[signal.MEAN], table[signal.MEAN][:1].expand(3), **EXACT)
    distance = torch.cdist(prints(table), prints(table)) + torch.eye(3) * 9
    assert float(distance.min()) > 0.1


def test_a_fingerprint_is_linear_and_keeps_the_length_on_average() -> None:
    tensor = drawn(16, 400)
    (table,), _ = summarised(tensor)
    (double,), _ = summarised(tensor * 2)
    torch.testing.assert_close(prints(double), 2 * prints(table), **EXACT)
    # E (sum of +-x / sqrt(R))^2 = mean square: 1,600 projections of unit variance estimate it to 1 / sqrt(800) = 4 %
    assert float(prints(table).square().mean() / tensor.double().square().mean()) == pytest.approx(1, abs=0.12)


def test_the_projector_is_one_for_all_tensors_of_as_many_rows() -> None:
    first = signal.projector(24, torch.device("cpu"), torch.float64)
    signal.projector.cache_clear()
    state = torch.get_rng_state()
    assert torch.equal(signal.projector(24, torch.device("cpu"), torch.float64), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert first[1:].abs().unique().numel() == 1


def share_of(tensor: Tensor, unit_axis: int = -1) -> float | None:
    (table,), plan = summarised(tensor, unit_axis=unit_axis)
    return signal.batch_share(float(table[signal.SQUARE].mean()), float(table[signal.PLACE].mean()), plan.samples)


def test_a_signal_equal_for_all_entries_has_no_batch_share() -> None:
    assert share_of(drawn(1, 4, 6).expand(5, 4, 6)) == pytest.approx(0, abs=1e-12)


def test_zero_has_no_batch_share() -> None:
    assert share_of(torch.zeros(5, 6)) == 0.0


def test_zero_mean_noise_is_all_batch_share() -> None:
    assert share_of(drawn(16, 2, 500)) == pytest.approx(1, abs=0.02)


def test_entries_that_cancel_are_all_batch_share() -> None:
    column = drawn(1, 6)
    assert share_of(torch.cat([column, -column])) == 1.0  # x and -x: the unbiased share is 2, and clipped


@pytest.mark.parametrize("constant", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("entries", [2, 5, 16])
def test_a_constant_plus_noise_has_the_share_of_the_noise(constant: float, entries: int) -> None:
    """Unbiased: E share = 1 / (1 + c^2), however few entries were read."""
    tensors = [drawn(entries, 1000, seed=number) + constant for number in range(40)]
    table, plan = summarised(*tensors)
    share = signal.batch_share(
        float(table[:, signal.SQUARE].mean()), float(table[:, signal.PLACE].mean()), plan.samples
    )
    assert share == pytest.approx(1 / (1 + constant**2), abs=0.02)


@pytest.mark.parametrize(("square", "samples"), [(1.0, 1), (math.nan, 4), (math.inf, 4)])
def test_no_share_where_none_can_be_said(square: float, samples: int) -> None:
    assert signal.batch_share(square, 0.5, samples) is None


def test_a_nan_stays_in_its_own_unit() -> None:
    tensor = drawn(6, 4)
    tensor[3, 2] = math.nan
    (table,), _ = summarised(tensor)
    assert table.isnan().any(0).tolist() == [False, False, True, False]
