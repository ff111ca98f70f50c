"""The factor that is solved for gives the standard deviation that was asked for, and says why when there is none."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepzero.repair.solve import Moments, along, factor, moments


def data(seed: int, rows: int, channels: int, mean: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, channels, generator=generator, dtype=torch.float64) + mean


sizes = {"rows": st.integers(2, 20), "channels": st.integers(1, 12), "seed": st.integers(0, 99)}


@given(**sizes, mean=st.floats(-3, 3), loud=st.floats(0, 0.8), target=st.floats(0.1, 10))
def test_the_scaled_product_with_its_bias_has_the_target(rows, channels, seed, mean, loud, target):
    u = data(seed, rows, channels, mean)
    bias = data(seed + 1, 1, channels)[0] * loud * target
    scale, why = factor(moments(u + bias, bias, -1), target)
    if scale is None:
        assert why
        return
    assert scale > 0
    assert float((scale * u + bias).std(correction=0)) == pytest.approx(target, rel=1e-6)


@given(**sizes, target=st.floats(1e-3, 1e3), scale=st.floats(1e-6, 1e6))
def test_without_a_bias_the_factor_is_target_over_std(rows, channels, seed, target, scale):
    output = data(seed, rows, channels) * scale
    found, _ = factor(moments(output, None, -1), target)
    assert found == pytest.approx(target / float(output.std(correction=0)), rel=1e-9)


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_moments_are_those_of_the_product_and_the_bias_along_any_axis(axis):
    shape = [6, 5, 4]
    u = torch.randn(shape, dtype=torch.float64)
    bias = torch.randn(shape[axis], dtype=torch.float64)
    wide = along(bias, axis, 3).expand(shape)
    seen = moments(u + wide, bias, axis)
    assert seen.product == pytest.approx(float(u.var(correction=0)))
    assert seen.bias == pytest.approx(float(wide.var(correction=0)))
    assert seen.covariance == pytest.approx(float(((u - u.mean()) * (wide - wide.mean())).mean()))
    assert seen.square == pytest.approx(float((u + wide).square().mean()))
    assert seen.std == pytest.approx(float((u + wide).std(correction=0)))


def test_a_mean_that_swamps_float32_is_read_without_differences_of_large_numbers():
    u, bias = torch.randn(4096, 8) * 1e-2, torch.full((8,), 300.0)
    seen = moments(u + bias, bias, -1)
    assert math.sqrt(seen.product) == pytest.approx(1e-2, rel=2e-2)  # float32 keeps 300.01 to 3e-5
    assert math.sqrt(moments(u + 300, None, -1).product) == pytest.approx(1e-2, rel=2e-2)


def test_half_precision_does_not_overflow():
    output = torch.full((4, 100), 6e4, dtype=torch.float16)
    output[::2] = -6e4
    assert moments(output, None, -1).std == pytest.approx(6e4, rel=1e-3)


@pytest.mark.parametrize(
    ("u", "c", "b", "target", "why"),
    [
        (1.0, 0.0, 4.0, 1.0, "bias alone"),  # louder than the target, nothing to take away
        (1.0, 0.5, 4.0, 1.0, "bias alone"),  # more product makes it only louder
        (1.0, -1.0, 1.5, 0.5, "bias alone"),  # C^2 - u (b - t^2) = 1 - 1.25: the parabola stays above
        (1.0, -1.5, 1.5, 1.0, "two factors"),  # cut at 0.177 and 2.82
        (0.0, 0.0, 0.0, 1.0, "does not vary"),
        (math.nan, 0.0, 0.0, 1.0, "not finite"),
        (math.inf, 0.0, 0.0, 1.0, "not finite"),
    ],
)
def test_where_there_is_no_one_factor_it_says_why(u, c, b, target, why):
    scale, said = factor(Moments(u, c, b, 4.0), target)
    assert scale is None
    assert why in said


def test_negative_covariance_has_one_root_below_the_target():
    u, c, b = 2.0, -0.5, 0.4
    scale, _ = factor(Moments(u, c, b, 3.0), 1.0)
    assert scale is not None
    assert u * scale**2 + 2 * c * scale + b == pytest.approx(1.0)


@given(c=st.floats(1e-6, 1e6), u=st.floats(1e-6, 1e2))
def test_a_small_root_keeps_its_digits(c, u):
    """u s^2 + 2 c s = t^2 with a large c: the plain formula takes the difference of nearly equal numbers."""
    scale, _ = factor(Moments(u, c, 0.0, u), 1e-3)
    assert scale is not None
    assert u * scale**2 + 2 * c * scale == pytest.approx(1e-6, rel=1e-9)


def test_an_output_that_varies_by_rounding_alone_is_not_scaled_up():
    scale, why = factor(moments(torch.full((64, 64), 0.1) + 1e-9 * torch.randn(64, 64), None, -1), 1.0)
    assert scale is None
    assert "does not vary" in why
