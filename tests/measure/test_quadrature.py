"""Expectations under a normal law against closed forms and scipy's quadrature."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from stepzero.measure.quadrature import expectation, normal_points


@pytest.mark.parametrize(("power", "moment"), [(0, 1), (2, 1), (4, 3), (6, 15), (8, 105)])
def test_even_moments(power: int, moment: float) -> None:
    assert expectation(lambda z: z**power) == pytest.approx(moment, rel=1e-12)


@given(mean=st.floats(-3, 3), variance=st.floats(1e-4, 1e4))
def test_mean_and_variance(mean: float, variance: float) -> None:
    second = expectation(lambda z: z * z, mean=mean, variance=variance)
    assert second == pytest.approx(variance + mean * mean, rel=1e-10)


@given(place=st.floats(-4, 4), mean=st.floats(-1, 1), deviation=st.floats(0.1, 10))
def test_a_jump_anywhere(place: float, mean: float, deviation: float) -> None:
    assume(abs(place - mean) < 6 * deviation)  # less than 1e-9 of the probability lies beyond
    found = expectation(lambda z: (z > place).double(), mean=mean, variance=deviation**2)
    tail = math.erfc((place - mean) / deviation / math.sqrt(2)) / 2
    assert found == pytest.approx(tail, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("offset", [1e-15, 1e-12, 1e-9, 1e-6, 1e-4, 1e-3])
@pytest.mark.parametrize("edge", [-2.0, -0.5, 0.0, 0.25, 1.0])
def test_a_jump_beside_the_border_of_a_panel_is_not_missed(edge: float, offset: float) -> None:
    for place in (edge - offset, edge + offset):
        tail = math.erfc(place / math.sqrt(2)) / 2
        assert expectation(lambda z, place=place: (z > place).double()) == pytest.approx(tail, rel=1e-9)


def test_steep_functions_of_a_wide_law() -> None:
    found = expectation(lambda z: torch.sigmoid(z) ** 2, variance=1e6)
    assert found == pytest.approx(0.5 - 1 / (1e3 * math.sqrt(2 * math.pi)), rel=1e-6)


@pytest.mark.parametrize("rate", [0.49, 0.5, 0.6])
def test_what_has_not_decayed_is_no_number(rate: float) -> None:
    assert math.isnan(expectation(lambda z: torch.exp(rate * z * z)))


def test_a_fast_decaying_one_is() -> None:
    assert expectation(lambda z: torch.exp(0.25 * z * z)) == pytest.approx(math.sqrt(2), rel=1e-9)


def test_an_infinite_or_wild_one_is_not() -> None:
    assert math.isnan(expectation(lambda z: 1 / (z - z)))
    noise = torch.Generator().manual_seed(0)
    assert math.isnan(expectation(lambda z: torch.rand(z.shape, generator=noise, dtype=z.dtype)))


def test_scipy_agrees() -> None:
    integrate = pytest.importorskip("scipy.integrate")
    there, _ = integrate.quad(
        lambda z: math.tanh(z) ** 4 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), -12, 12, epsabs=1e-13
    )
    assert expectation(lambda z: torch.tanh(z) ** 4) == pytest.approx(there, rel=1e-11)


@pytest.mark.parametrize(("power", "moment"), [(0, 1), (1, 0), (2, 1), (3, 0), (4, 3), (6, 15), (8, 105)])
def test_fixed_points_have_the_moments(power: int, moment: float) -> None:
    points, weights = normal_points()
    assert float(weights @ points**power) == pytest.approx(moment, rel=1e-9, abs=1e-12)


def test_a_kink_between_fixed_points_costs_little() -> None:
    points, weights = normal_points()
    density = math.exp(-0.18) / math.sqrt(2 * math.pi)
    exact = density - 0.6 * math.erfc(0.6 / math.sqrt(2)) / 2
    assert float(weights @ (points - 0.6).clamp_min(0)) == pytest.approx(exact, rel=1e-3)
