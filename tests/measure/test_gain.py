"""Gains against the published table, closed forms and an independent quadrature."""

import math

import pytest
import torch
import torch.nn.functional as F

from stepzero.measure.gain import gain_of

TABLE = {
    "relu": 1.41421,
    "relu6": 1.41421,
    "leaky_relu": 1.41414,
    "tanh": 1.59254,
    "sigmoid": 1.84623,
    "softplus": 1.04187,
    "logsigmoid": 1.04187,
    "softsign": 2.33753,
    "sin": 1.52087,
    "abs": 1.00000,
    "gelu": 1.53353,
    "silu": 1.67653,
    "mish": 1.48685,
    "elu": 1.24520,
    "selu": 1.00000,
    "hardswish": 1.73666,
    "hardtanh": 1.39204,
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_the_notes(name: str) -> None:
    assert gain_of(name) == pytest.approx(TABLE[name], abs=1e-5)


def cumulative(z: float) -> float:
    return (1 + math.erf(z / math.sqrt(2))) / 2


def density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def tail(a: float) -> float:
    """E z^2 over abs(z) > a."""
    return 2 * (a * density(a) + 1 - cumulative(a))


CLOSED = {
    "relu": 0.5,
    "leaky_relu": (1 + 0.01**2) / 2,
    "abs": 1.0,
    "cos": (1 + math.exp(-2)) / 2,
    "sin": (1 - math.exp(-2)) / 2,
    "erf": 2 / math.pi * math.asin(2 / 3),
    "hardtanh": (1 - tail(1)) + 2 * (1 - cumulative(1)),
    "hardshrink": tail(0.5),
    "softshrink": tail(0.5) - 2 * 0.5 * 2 * density(0.5) + 0.25 * 2 * (1 - cumulative(0.5)),
}
"""E phi^2."""


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name: str) -> None:
    assert gain_of(name) == pytest.approx(1 / math.sqrt(CLOSED[name]), rel=1e-6)


CALLED = [
    ("leaky_relu", {"negative_slope": 0.3}, (1 + 0.3**2) / 2),
    ("leaky_relu", {"negative_slope": 1.0}, 1.0),
    ("rrelu", {"lower": 0.1, "upper": 0.5}, (1 + 0.3**2) / 2),
    ("hardtanh", {"min": 0.0, "max": float("inf")}, 0.5),
    ("hardtanh", {"min": -2.0, "max": 2.0}, (1 - tail(2)) + 4 * 2 * (1 - cumulative(2))),
    ("hardshrink", {"lambd": 1.5}, tail(1.5)),
    ("threshold", {"threshold": 0.0, "value": 0.0}, 0.5),
    ("elu", {"alpha": 0.0}, 0.5),
    ("relu", {"negative_slope": 0.3}, 0.5),
]


@pytest.mark.parametrize(("name", "attributes", "moment"), CALLED)
def test_settings_of_the_call_change_the_gain(name: str, attributes: dict[str, float], moment: float) -> None:
    assert gain_of(name, attributes) == pytest.approx(1 / math.sqrt(moment), rel=1e-6)


def simpson(name: str) -> float:
    """E phi^2 by Simpson's rule on panels that end at every multiple of 1/2, where all kinks of torch lie."""
    phi = getattr(F, name, None) or getattr(torch, name)
    left = torch.arange(-24, 24, dtype=torch.float64)[:, None] / 2
    inner = torch.linspace(0, 0.5, 201, dtype=torch.float64)
    z = left + inner
    weight = torch.ones(201, dtype=torch.float64)
    weight[1:-1:2], weight[2:-1:2] = 4, 2
    values = phi(z.clamp(left + 1e-12, left + 0.5 - 1e-12)).square() * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return float((values * weight).sum() * (0.5 / 200) / 3)


@pytest.mark.parametrize(
    "name", [*TABLE, "celu", "hardsigmoid", "tanhshrink", "softshrink", "hardshrink", "erf", "cos", "rrelu"]
)
def test_an_independent_quadrature_agrees(name: str) -> None:
    assert gain_of(name) == pytest.approx(1 / math.sqrt(simpson(name)), rel=1e-6)


@pytest.mark.parametrize("name", ["no_such_function", "linear", "prelu", "threshold", "softmax", "cumsum", "exp"])
def test_no_gain_where_there_is_none(name: str) -> None:
    assert gain_of(name) is None


def test_a_signal_of_unit_second_moment_stays_one() -> None:
    """What the number is for: phi(z) times the gain has second moment 1 for z ~ N(0, 1)."""
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name in ("gelu", "tanh", "selu"):
        gain = gain_of(name)
        assert gain is not None
        assert float((gain * getattr(F, name)(z)).square().mean()) == pytest.approx(1, abs=0.01)
