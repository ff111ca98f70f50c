"""What a straight line leaves of an activation, against closed forms and Monte Carlo."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.api import trace
from stepzero.measure.linearity import told, unexplained, with_unexplained

PHIS = [torch.tanh, torch.sigmoid, F.gelu, F.silu, F.softplus, F.elu, F.mish, F.hardtanh, torch.sin]


def of(phi, mean, deviation):
    return float(unexplained(phi, *torch.tensor([[mean], [deviation]], dtype=torch.float64)))


def by_regression(phi, z):
    """The same share from samples: residual of the least squares line over the variance."""
    value = phi(z)
    slope = ((z - z.mean()) * (value - value.mean())).mean() / z.var(correction=0)
    left = value - value.mean() - slope * (z - z.mean())
    return float(left.square().mean() / value.var(correction=0))


@pytest.mark.parametrize("phi", PHIS)
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 0.3), (0.7, 1.0), (-1.0, 2.0)])
def test_a_unit_against_monte_carlo(phi, mean, deviation):
    draw = torch.Generator().manual_seed(3)
    z = mean + deviation * torch.randn(400_000, dtype=torch.float64, generator=draw)
    # The fourth powers of the residual make the samples stray by a few percent.
    assert of(phi, mean, deviation) == pytest.approx(by_regression(phi, z), rel=0.05)


@pytest.mark.parametrize("deviation", [1e-4, 1e-3, 1e-2])
def test_near_zero_it_is_the_next_term_of_the_series(deviation):
    """tanh z = z - z^3 / 3: the cubic Hermite part has variance 6 (s^3 / 3)^2, the line s^2."""
    assert of(torch.tanh, 0.0, deviation) == pytest.approx(2 / 3 * deviation**4, rel=2e-3)
    assert of(F.softplus, 0.0, deviation) == pytest.approx(deviation**2 / 8, rel=2e-3)


def test_lines_and_parabolas_and_steps():
    assert of(lambda z: 3 * z - 2, 0.4, 1.7) < 1e-25
    assert of(torch.square, 0.0, 1.3) == pytest.approx(1.0, rel=1e-12)
    assert of(torch.square, 1.0, 1.0) == pytest.approx(2 / 6, rel=1e-12)
    assert of(torch.tanh, 0.0, 1e4) == pytest.approx(1 - 2 / math.pi, abs=0.02)


def test_what_does_not_vary_has_no_share():
    assert math.isnan(of(torch.tanh, 60.0, 1.0))
    assert math.isnan(of(F.softshrink, 0.0, 1e-3))


@pytest.mark.parametrize("phi", [nn.Tanh(), nn.GELU("tanh"), nn.Softplus(3.0), nn.ELU(0.5), nn.Hardswish(), nn.CELU(2)])
def test_a_layer_against_its_own_responses(phi):
    """The mean over units of the share measured on each unit's own Gaussian inputs."""
    torch.manual_seed(5)
    model, batch = nn.Sequential(nn.Linear(16, 8), phi, nn.Linear(8, 2)), torch.randn(4096, 16)
    own = next(each for each in told(trace(model, batch)).operations if each.kind == "activation").unexplained
    z = model[0](batch).detach().double()
    measured = sum(by_regression(phi, column) for column in z.T) / 8
    assert own == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize("phi", [nn.ReLU(), nn.LeakyReLU(), nn.PReLU(), nn.RReLU()])
def test_rectifiers_are_not_asked(phi):
    record = trace(nn.Sequential(nn.Linear(4, 8), phi, nn.Linear(8, 2)), torch.randn(16, 4))
    assert [each.unexplained for each in record.operations if each.kind == "activation"] == [None]


def test_units_that_do_not_vary_are_left_out():
    torch.manual_seed(5)
    model, batch = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2)), torch.randn(64, 16)
    with torch.no_grad():
        model[0].weight[1:] = 0.0
    record = told(trace(model, batch))
    activation = next(each for each in record.operations if each.kind == "activation")
    read = record.operations[activation.inputs[0]].forward
    mean, square = read.unit_mean[0], read.unit_square[0]
    alone = of(torch.tanh, mean, math.sqrt(square - mean**2))
    assert activation.unexplained == pytest.approx(alone, rel=1e-9)
    assert told(record) == record
    nn.init.zeros_(model[0].weight)
    assert all(each.unexplained is None for each in told(trace(model, batch)).operations)


@pytest.mark.parametrize(("std", "is_asked"), [(0.02, True), (0.5, False)])
def test_what_is_seen_to_bend_is_not_integrated(std, is_asked):
    model = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=std, generator=torch.Generator().manual_seed(0))
    record = trace(model, torch.randn(64, 16, generator=torch.Generator().manual_seed(1)))
    assert {each.unexplained is not None for each in record.operations if each.kind == "activation"} == {is_asked}
    assert with_unexplained(record) == record
