import math

import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities


class Sine(nn.Module):
    def __init__(self, inputs, std, phi=torch.sin):
        super().__init__()
        self.linear, self.phi = nn.Linear(inputs, 64), phi
        nn.init.normal_(self.linear.weight, std=std, generator=generator())

    def forward(self, x):
        return self.phi(30 * self.linear(x))


def points(inputs=2, rows=64):
    """Numbers of unit variance: the phase has standard deviation 30 std sqrt(inputs)."""
    return torch.randn(rows, inputs, generator=generator(1))


def net(phase, inputs=2, phi=torch.sin):
    return nn.Sequential(Sine(inputs, phase / 30 / math.sqrt(inputs), phi), nn.Linear(64, 1))


@pytest.mark.parametrize("phi", [torch.sin, torch.cos])
@pytest.mark.parametrize(
    ("phase", "expected"), [(0.3, ["warning"]), (1.2, ["warning"]), (2.2, []), (30.0, []), (300.0, ["warning"])]
)
def test_the_phase_decides(phase, expected, phi):
    assert severities("SZ320", net(phase, phi=phi), points()) == expected


def test_place_and_value():
    (finding,) = ask("SZ320", net(0.5), points())
    assert finding.where == ("0.linear.weight",)
    assert finding.value == pytest.approx(0.5, rel=0.25)


# -- traps ----------------------------------------------------------------------------------------------------------


def test_the_first_draw_of_sine_networks_is_silent():
    model = nn.Sequential(Sine(2, 1.0), nn.Linear(64, 1))
    nn.init.uniform_(model[0].linear.weight, -1 / 2, 1 / 2)
    assert severities("SZ320", model, torch.rand(64, 2) * 2 - 1) == []


def test_encoded_inputs_and_inner_layers_are_silent():
    assert severities("SZ320", net(0.3, inputs=16), points(16)) == []
    assert severities("SZ320", nn.Sequential(nn.Linear(2, 3), nn.Tanh(), *net(0.3, inputs=3)), points()) == []


def test_other_activations_frozen_layers_and_few_points_are_silent():
    assert severities("SZ320", net(0.3, phi=torch.tanh), points()) == []
    assert severities("SZ320", net(0.3), points(rows=4)) == []
    model = net(0.3)
    model[0].requires_grad_(False)
    assert severities("SZ320", model, points()) == []
