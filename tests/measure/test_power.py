"""Exponents and their intervals against closed forms, and against how often they cover the truth."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepzero.measure.power import exponent, student_quantile


@given(st.floats(-3, 3), st.floats(1e-3, 1e3))
def test_an_exact_power_is_found(power, factor):
    slope, low, high = exponent([(width, factor * width**power) for width in (64, 128, 256, 512)], 0.95)
    assert slope == pytest.approx(power, abs=1e-9)
    assert high - low < 1e-6


def test_the_interval_covers_the_slope_as_often_as_it_says():
    noise = torch.randn(2000, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    widths = [2.0**power for power in (6, 7, 8, 9)] * 3
    covered = 0
    for row in noise.tolist():
        _, low, high = exponent([(x, 2 ** (0.3 * e) * x**0.5) for x, e in zip(widths, row, strict=True)], 0.9)
        covered += low <= 0.5 <= high
    assert covered / 2000 == pytest.approx(0.9, abs=4 * math.sqrt(0.9 * 0.1 / 2000))


def test_two_points_say_nothing_about_noise():
    assert exponent([(1, 1), (2, 4)], 0.95) == (2.0, -math.inf, math.inf)


def test_one_width_is_no_line():
    with pytest.raises(ValueError, match="two different x"):
        exponent([(2, 1), (2, 3)], 0.95)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_quantiles_in_closed_form(confidence):
    # One degree is Cauchy's distribution; with two, P(|T| < t) = t / sqrt(2 + t^2).
    assert student_quantile(confidence, 1) == pytest.approx(math.tan(math.pi / 2 * confidence))
    assert student_quantile(confidence, 2) == pytest.approx(confidence * math.sqrt(2 / (1 - confidence**2)))
    normal = math.sqrt(2) * float(torch.erfinv(torch.tensor(confidence, dtype=torch.float64)))
    assert student_quantile(confidence, 10_000) == pytest.approx(normal, rel=1e-3)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0])
def test_a_wrong_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        student_quantile(confidence, 3)
