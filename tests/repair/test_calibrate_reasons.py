"""What a calibrating pass does where a target cannot be reached: nothing is written, and the reason is said."""

import pytest
import torch
from torch import nn

from stepzero.repair.calibrate import Target, calibrate
from tests.repair.judging import all_weights, bits, calibrated, hooked, same

WIDTH = 32
X = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(1)) * 3


def stack(depth=4):
    return nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())))


def linear(bias):
    model = nn.Sequential(nn.Linear(WIDTH, 4))
    with torch.no_grad():
        model[0].bias.copy_(bias)
    return model


@pytest.mark.parametrize(
    ("model", "x", "why"),
    [
        (linear(torch.tensor([9.0, -9.0, 9.0, -9.0])), X, "bias alone"),
        (linear(torch.zeros(4)), X * float("nan"), "not finite"),
        (linear(torch.zeros(4)), X * float("inf"), "not finite"),
        (linear(torch.zeros(4)), X * 0, "does not vary"),
        (nn.Sequential(nn.Linear(WIDTH, 1)), X[:1], "does not vary"),
    ],
)
def test_no_answer_means_no_write_and_a_reason(model, x, why):
    saved = bits(model)
    found, _ = calibrated(model, x)
    assert why in found.skipped["0.weight"]
    assert same(model, saved)


def test_a_negative_covariance_with_the_bias_is_solved_for():
    model, x = linear(torch.zeros(4)), X[:8] + 2
    with torch.no_grad():
        model[0].bias.copy_(-0.8 * model(x).mean(0))
    calibrated(model, x)
    assert hooked(model, x) == pytest.approx({"0": 1.0}, abs=1e-5)


def test_one_sample_is_enough_for_a_standard_deviation_over_units():
    model = stack()
    calibrated(model, X[:1])
    assert hooked(model, X[:1]) == pytest.approx(dict.fromkeys(hooked(model, X[:1]), 1.0), abs=1e-5)


def test_one_sample_without_a_batch_axis():
    model = stack()
    calibrated(model, X[0])
    assert hooked(model, X[0]) == pytest.approx(dict.fromkeys(hooked(model, X[0]), 1.0), abs=1e-5)


def test_a_layer_that_is_never_reached_is_listed():
    model = stack(1)
    model.unused = nn.Linear(3, 3)
    found = calibrate(model, lambda: model[0](X), all_weights(model))
    assert "no weighted operation" in found.skipped["unused.weight"]


def test_a_factor_far_from_one_is_noted():
    model = stack(1)
    model[0].weight.data *= 100
    assert "law" in calibrate(model, lambda: model(X), all_weights(model)).scalings["0.weight"].why


def test_casts_of_an_autocast_around_it_are_not_stale():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        model(x)  # fills the cache
        found, seen = calibrated(model, x, targets={"0.weight": Target(3.0)})
        assert seen["0.weight"] == pytest.approx(3.0, rel=3e-2)
        assert float(model[0](x).detach().float().std(correction=0)) == pytest.approx(3.0, rel=3e-2)
    assert found.skipped == {}
