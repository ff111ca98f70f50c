"""From fetched numbers to a Signal: every field against the tensor it was taken from."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stepzero.core.trace import Signal
from stepzero.measure.sampling import MAX_UNITS, plan_of
from stepzero.probe.sampler import Sampler
from stepzero.probe.tables import Tables
from stepzero.probe.transfer import Ledger
from tests.probe.observing import seeded


def signal_of(tensor: Tensor, axis: int = -1, **settings: Any) -> Signal:
    """Forward statistics unless said otherwise."""
    plan = plan_of(tuple(tensor.shape), axis % tensor.dim())
    assert plan is not None
    ledger = Ledger()
    sampler = Sampler(ledger)
    measured = sampler.take(tensor, plan, **{"is_forward": True, **settings})
    sampler.flush()
    ledger.fetch()
    return Tables(ledger).signal(measured)


@pytest.mark.parametrize(("shape", "axis"), [((12, 5), 1), ((4, 3, 2, 4), 1), ((3, 5, 7), 2)])
def test_a_small_tensor_says_its_own_numbers(shape: tuple[int, ...], axis: int) -> None:
    tensor = seeded(*shape) * 2 + 0.5
    signal, exact = signal_of(tensor, axis, has_range=True), tensor.double().movedim(axis, -1).reshape(-1, shape[axis])
    assert (signal.rows, signal.samples, signal.units) == (len(exact), shape[0], shape[axis])
    assert signal.mean == pytest.approx(float(exact.mean()))
    assert signal.rms == pytest.approx(float(exact.square().mean().sqrt()))
    assert (signal.low, signal.high) == (float(exact.min()), float(exact.max()))
    assert list(signal.unit_mean) == pytest.approx(exact.mean(0).tolist())
    assert list(signal.unit_square) == pytest.approx(exact.square().mean(0).tolist())
    assert len(signal.fingerprint) == signal.units * signal.projections
    assert signal.projections >= 2
    assert not signal.nonfinite


def test_the_rms_of_a_gradient_is_of_the_whole_tensor_however_large() -> None:
    tensor = torch.zeros(64, 100, 300)
    tensor[63, 57, 3] = 1000.0  # one number of 1.92 million, off the sample
    signal = signal_of(tensor, is_forward=False)
    assert signal.rms == pytest.approx(1000 / math.sqrt(tensor.numel()), rel=1e-5)
    assert max(signal.unit_square) == 0.0


def test_the_rms_of_a_large_result_is_that_of_its_sample() -> None:
    assert signal_of(seeded(64, 20, 50)).rms == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("scale", [1e-30, 1e-42, 1e25])
def test_the_rms_of_numbers_whose_squares_leave_the_range(scale: float) -> None:
    signal = signal_of(torch.full((8, 4), scale))
    assert signal.rms == pytest.approx(float(torch.tensor(scale)), rel=1e-3)
    assert not signal.nonfinite


def test_zero_is_zero() -> None:
    signal = signal_of(torch.zeros(8, 4), has_range=True)
    assert (signal.rms, signal.mean, signal.low, signal.high, signal.batch_share) == (0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_said(bad: float) -> None:
    tensor = seeded(8, 4)
    tensor[5, 1] = bad
    assert signal_of(tensor).nonfinite
    assert signal_of(tensor, is_forward=False).nonfinite


def test_backward_signals_have_no_range_and_no_batch_share() -> None:
    signal = signal_of(seeded(8, 4), is_forward=False)
    assert signal.batch_share is None
    assert signal.low is None
    assert signal.high is None
    assert len(signal.unit_low) == len(signal.flat_share) == 0
    assert len(signal.unit_square) == 4


def test_zeros_of_a_rectifier_by_unit() -> None:
    tensor = torch.tensor([[0.0, 1.0, 0.0], [0.0, 2.0, 3.0]])
    signal = signal_of(tensor, has_off=True)
    assert list(signal.off_share) == [1.0, 0.0, 0.5]
    assert (list(signal.unit_low), list(signal.unit_high)) == ([0.0, 1.0, 0.0], [0.0, 2.0, 3.0])


def test_copies_of_units_have_one_fingerprint() -> None:
    tensor = seeded(16, 6)
    tensor[:, 4] = tensor[:, 1]
    signal = signal_of(tensor)
    prints = torch.tensor(list(signal.fingerprint)).view(signal.projections, 6).T
    same = [(i, j) for i in range(6) for j in range(i) if torch.equal(prints[i], prints[j])]
    assert same == [(4, 1)]


def test_batch_share_of_closed_forms() -> None:
    assert signal_of(seeded(1, 5, 6).expand(8, 5, 6)).batch_share == pytest.approx(0, abs=1e-9)
    assert signal_of(seeded(8, 2, 300)).batch_share == pytest.approx(1, abs=0.05)
    assert signal_of(seeded(1, 5, 6)).batch_share is None


def test_very_many_units_are_read_in_part() -> None:
    signal = signal_of(torch.ones(2, 3 * MAX_UNITS))
    assert signal.units == len(signal.unit_mean) == MAX_UNITS
    assert signal.rms == pytest.approx(1.0)
