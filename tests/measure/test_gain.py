"""Gains against the published table, closed forms and an independent quadrature."""

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from stepzero.measure.gain import activation_gain, function_of, gain_of, glu_gain

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


BOTH: dict[str, tuple[Any, float, float]] = {
    "relu": ("relu", 1.41421, 1.41421),
    "relu6": ("relu6", 1.41421, 1.41421),
    "leaky 0.01": ("leaky_relu", 1.41414, 1.41414),
    "leaky 0.2": (nn.LeakyReLU(0.2), 1.38675, 1.38675),
    "tanh": ("tanh", 1.59254, 1.46741),
    "scaled tanh": (lambda z: 1.7159 * torch.tanh(2 * z / 3), 1.15437, 1.11526),
    "sigmoid": ("sigmoid", 1.84623, 4.72265),
    "softplus": ("softplus", 1.04187, 1.84623),
    "logsigmoid": ("logsigmoid", 1.04187, 1.84623),
    "softsign": ("softsign", 2.33753, 2.09578),
    "sin": (torch.sin, 1.52087, 1.32725),
    "abs": (torch.abs, 1.00000, 1.00000),
    "gelu": (nn.GELU(), 1.53353, 1.48111),
    "gelu, tanh form": (nn.GELU("tanh"), 1.53358, 1.48117),
    "quick gelu": (lambda z: z * torch.sigmoid(1.702 * z), 1.53946, 1.49146),
    "silu": ("silu", 1.67653, 1.62332),
    "mish": ("mish", 1.48685, 1.44476),
    "elu": ("elu", 1.24520, 1.22343),
    "selu": ("selu", 1.00000, 0.96603),
    "hardswish": ("hardswish", 1.73666, 1.67008),
    "hardtanh": ("hardtanh", 1.39204, 1.21029),
    "squared relu": (lambda z: torch.relu(z) ** 2, 0.81650, 0.70711),
}


@pytest.mark.parametrize("name", BOTH)
def test_forward_and_backward_gains_of_the_table(name: str) -> None:
    phi, forward, backward = BOTH[name]
    assert activation_gain(phi) == pytest.approx(forward, abs=1e-5)
    assert activation_gain(phi, mode="out") == pytest.approx(backward, abs=1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_scipy_agrees(name: str) -> None:
    integrate = pytest.importorskip("scipy.integrate")
    phi = BOTH[name][0]
    function = (getattr(F, phi, None) or getattr(torch, phi)) if isinstance(phi, str) else phi

    def square(z: float) -> float:
        return float(function(torch.tensor([z], dtype=torch.float64))) ** 2 * density(z)

    kinks = [-6, -3, -2, -1, 0, 1, 2, 3, 6]
    moment = sum(integrate.quad(square, a, b, epsabs=1e-12)[0] for a, b in itertools.pairwise([-12, *kinks, 12]))
    assert activation_gain(phi) == pytest.approx(1 / math.sqrt(moment), rel=1e-8)


def test_many_digits_agree() -> None:
    mpmath = pytest.importorskip("mpmath")
    edges = [-12, -6, -3, 0, 3, 6, 12]
    tanh = mpmath.quad(lambda z: mpmath.tanh(z) ** 2 * mpmath.npdf(z), edges)
    slope = mpmath.quad(lambda z: mpmath.sech(z) ** 4 * mpmath.npdf(z), edges)
    assert activation_gain("tanh") == pytest.approx(float(1 / mpmath.sqrt(tanh)), rel=1e-12)
    assert activation_gain("tanh", mode="out") == pytest.approx(float(1 / mpmath.sqrt(slope)), rel=1e-12)


def upper_moments(a: float) -> tuple[float, float, float]:
    """E of 1, z and z^2 over z > a."""
    return 1 - cumulative(a), density(a), a * density(a) + 1 - cumulative(a)


@given(
    kinks=st.lists(st.floats(-3, 3), min_size=1, max_size=5, unique=True).map(sorted),
    slopes=st.lists(st.floats(-2, 2), min_size=6, max_size=6),
    offset=st.floats(-1, 1),
    jump=st.floats(-1, 1),
)
def test_random_piecewise_linear_functions(kinks: list[float], slopes: list[float], offset: float, jump: float) -> None:
    """Slope s_i on the i-th piece; continuous but for one jump at the last kink."""
    values = [offset]
    for i, (a, b) in enumerate(itertools.pairwise(kinks)):
        values.append(values[-1] + slopes[i + 1] * (b - a))
    starts, corners = [values[0], *values], [kinks[0], *kinks]
    starts[-1] += jump

    def phi(z: Tensor) -> Tensor:
        piece = torch.bucketize(z.detach(), torch.tensor(kinks, dtype=z.dtype), right=True)
        start, slope, corner = (torch.tensor(list(x), dtype=z.dtype)[piece] for x in (starts, slopes, corners))
        return start + slope * (z - corner)

    second, slope_square = 0.0, 0.0
    for i, (a, b) in enumerate(itertools.pairwise([-math.inf, *kinks, math.inf])):
        low = upper_moments(a) if a > -math.inf else (1.0, 0.0, 1.0)
        high = upper_moments(b) if b < math.inf else (0.0, 0.0, 0.0)
        p, m, q = (x - y for x, y in zip(low, high, strict=True))
        c = starts[i] - slopes[i] * corners[i]
        second += c * c * p + 2 * c * slopes[i] * m + slopes[i] ** 2 * q
        slope_square += slopes[i] ** 2 * p
    assume(second > 1e-4 and slope_square > 1e-4)
    assert activation_gain(phi) == pytest.approx(1 / math.sqrt(second), rel=1e-6)
    assert activation_gain(phi, mode="out") == pytest.approx(1 / math.sqrt(slope_square), rel=1e-6)


@given(mean=st.floats(-2, 2), variance=st.floats(0.01, 100), slope=st.floats(0, 1))
def test_other_inputs(mean: float, variance: float, slope: float) -> None:
    """A leaky rectifier of z ~ N(mean, variance), in closed form."""
    deviation = math.sqrt(variance)
    p, m, q = upper_moments(-mean / deviation)
    above = mean**2 * p + 2 * mean * deviation * m + variance * q
    moment = above + slope**2 * (mean**2 + variance - above)
    assume(moment > 1e-8)
    found = activation_gain(nn.LeakyReLU(slope), mean=mean, square=mean**2 + variance)
    assert found == pytest.approx(1 / math.sqrt(moment), rel=1e-6)


def test_a_prelu_at_its_current_slope() -> None:
    module = nn.PReLU(init=0.5)
    expected = pytest.approx(math.sqrt(2 / 1.25))
    assert activation_gain(module) == expected
    assert activation_gain(module, mode="out") == expected


def test_the_product_law_of_gated_units() -> None:
    assert glu_gain("sigmoid") == pytest.approx(activation_gain("sigmoid"))
    a, b = 2 * torch.randn(2, 400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit = glu_gain("silu", square=4.0) * F.silu(a) * b
    assert float(unit.square().mean()) == pytest.approx(1, abs=0.03)


def test_the_convention_of_torch() -> None:
    for name in ("linear", "relu", "tanh", "sigmoid", "selu"):
        assert activation_gain(name, convention="torch") == pytest.approx(nn.init.calculate_gain(name))
    assert activation_gain(nn.Tanh(), convention="torch") == pytest.approx(5 / 3)
    slope = activation_gain(nn.LeakyReLU(0.3), convention="torch")
    assert slope == pytest.approx(nn.init.calculate_gain("leaky_relu", 0.3))
    with pytest.raises(ValueError, match="torch states no gain for 'gelu'"):
        activation_gain("gelu", convention="torch")


ASKED_WRONG: list[tuple[Any, dict[str, Any], str]] = [
    ("gelo", {}, "did you mean 'gelu'"),
    ("softmax", {}, "no activation is called"),
    ("threshold", {}, "cannot be called"),
    (nn.Softmax(-1), {}, "mixes its elements"),
    (nn.GLU(), {}, "glu_gain"),
    (lambda z: F.dropout(z), {}, "random"),
    (lambda z: 0 * z, {}, "zero everywhere"),
    (torch.sign, {"mode": "out"}, "zero everywhere"),
    (lambda z: torch.exp(z * z), {}, "grows too fast"),
    (torch.log, {}, "does not settle"),
    ("relu", {"mode": "both"}, "expected 'in' or 'out'"),
    ("relu", {"convention": "keras"}, "expected 'exact' or 'torch'"),
    ("relu", {"mean": 2.0}, "above"),
    ("relu", {"square": float("inf")}, "finite"),
]


@pytest.mark.parametrize(("phi", "arguments", "words"), ASKED_WRONG)
def test_what_has_no_gain_is_refused_in_one_line(phi: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        activation_gain(phi, **arguments)
    assert "\n" not in str(caught.value)


def test_the_function_is_the_one_the_gain_is_of() -> None:
    z = torch.linspace(-3, 3, 40, dtype=torch.float64)
    assert torch.equal(function_of("gelu", {"approximate": "tanh"})(z), F.gelu(z, approximate="tanh"))
    assert torch.equal(function_of("hardtanh", {"min": -0.5, "max": 2.0})(z), F.hardtanh(z, -0.5, 2.0))
    assert function_of("prelu") is None
