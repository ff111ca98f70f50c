import math

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.activations import flat_share, is_bounded, off_share, offset_share, on_share, slope_through


def activation(model, batch, loss=None):
    record = trace(model, batch, loss)
    return record, next(operation for operation in record.operations if operation.kind == "activation")


@pytest.mark.parametrize(
    ("phi", "bounded"),
    [
        (nn.Tanh(), True),
        (nn.Sigmoid(), True),
        (nn.Hardtanh(), True),
        (nn.ReLU6(), False),
        (nn.Hardtanh(0.0, 1.0), False),
        (nn.Hardtanh(-1.0, float("inf")), False),
        (nn.Hardsigmoid(), True),
        (nn.ReLU(), False),
        (nn.GELU(), False),
    ],
)
def test_bounded_means_flat_on_both_sides(phi, bounded):
    _, operation = activation(nn.Sequential(nn.Linear(8, 64), phi, nn.Linear(64, 4)), torch.randn(64, 8))
    assert is_bounded(operation) is bounded


def test_a_hard_tanh_that_happens_to_stay_above_zero_is_bounded_still():
    model = nn.Sequential(nn.Linear(8, 64), nn.Hardtanh(), nn.Linear(64, 4))
    nn.init.constant_(model[0].bias, 20.0)
    _, operation = activation(model, torch.randn(64, 8))
    assert operation.forward.low > 0
    assert is_bounded(operation)


def test_shares_of_units():
    model = nn.Sequential(nn.Linear(8, 10), nn.ReLU(), nn.Linear(10, 4))
    with torch.no_grad():
        model[0].bias[:3] = -50.0
        model[0].bias[3:] = 50.0
    _, operation = activation(model, torch.randn(64, 8))
    assert off_share(operation.forward) == pytest.approx(0.3)
    assert flat_share(operation.forward, 0.5) == pytest.approx(0.3)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 0.99])
def test_as_many_units_are_on_as_off_when_only_the_samples_are_alike(correlation):
    draw = torch.Generator().manual_seed(1)
    common, own = torch.randn(256, generator=draw), torch.randn(64, 256, generator=draw)
    model = nn.Sequential(nn.Linear(256, 2000, bias=False), nn.ReLU(), nn.Linear(2000, 2))
    with torch.no_grad():
        model[0].weight.normal_(generator=draw)
    _, operation = activation(model, correlation**0.5 * common + (1 - correlation) ** 0.5 * own)
    dead, live = off_share(operation.forward), on_share(operation.forward)
    assert dead == pytest.approx(live, abs=4 * (2 * max(dead, 1e-3) / 2000) ** 0.5)


def test_an_offset_layer_has_no_units_on():
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    nn.init.constant_(model[0].bias, -20.0)
    _, operation = activation(model, torch.randn(64, 8))
    assert (off_share(operation.forward), on_share(operation.forward)) == (1.0, 0.0)


def test_slope_is_the_ratio_of_gradients():
    model = nn.Sequential(nn.Linear(8, 64), nn.Sigmoid(), nn.Linear(64, 4))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    record, operation = activation(model, torch.randn(64, 8))
    assert slope_through(record, operation) == pytest.approx(0.25, rel=1e-4)
    nn.init.zeros_(model[2].weight)
    record, operation = activation(model, torch.randn(64, 8))
    assert slope_through(record, operation) is None


def test_offset_units_have_a_mean_beyond_three_deviations():
    layer = nn.Linear(8, 64, bias=True)
    nn.init.zeros_(layer.bias)
    nn.init.constant_(layer.bias[:16], 50.0)
    record = trace(nn.Sequential(layer, nn.Tanh()), torch.randn(64, 8))
    assert offset_share(record.operations[1].forward) == 0.25
    weighed = next(each.backward for each in record.operations if each.backward is not None and not each.backward.units)
    assert math.isnan(offset_share(weighed)), "known by its size alone"
