"""A map without a slope where the signal stands, and what depth, data and the map itself do."""

import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, he, severities

X, LABELS = torch.randn(64, 32, generator=generator()), torch.arange(64) % 4


class Between(nn.Module):
    def __init__(self, between, std=32**-0.5):
        super().__init__()
        self.between, self.a, self.b = between, nn.Linear(32, 64), nn.Linear(64, 4)
        nn.init.normal_(self.a.weight, std=std, generator=generator())
        nn.init.zeros_(self.a.bias)

    def forward(self, x):
        return self.b(self.between(self.a(x)))


def square(z):
    return z**2


@pytest.mark.parametrize(("between", "std"), [(square, 1e-3), (lambda z: z**3, 0.01), (torch.tanh, 30.0)])
def test_a_signal_where_the_map_has_no_slope(between, std):
    (finding,) = ask("SZ314", Between(between, std), X, "cross_entropy", LABELS)
    assert (finding.severity, finding.where, finding.evidence) == ("info", ("a.weight", "b.weight"), "control")
    assert finding.value < 1 / 5


def test_a_map_that_is_far_too_steep():
    (finding,) = ask("SZ314", Between(square, 10.0), X, "cross_entropy", LABELS)
    assert finding.value > 5


@pytest.mark.parametrize("between", [square, torch.relu, torch.sigmoid, lambda z: (z / 100) ** 2])
def test_drawn_by_law_it_is_as_the_control(between):
    assert severities("SZ314", Between(between), X, "cross_entropy", LABELS) == []


def test_small_weights_in_front_of_a_straight_map_are_not_the_maps_fault():
    assert severities("SZ314", Between(torch.relu, 1e-4), X, "cross_entropy", LABELS) == []


def test_depth_is_in_the_control():
    layers = [layer for _ in range(12) for layer in (nn.Linear(32, 32), nn.Sigmoid())]
    assert severities("SZ314", he(nn.Sequential(*layers, nn.Linear(32, 4))), X, "cross_entropy", LABELS) == []


def test_where_nothing_comes_through_others_tell():
    assert severities("SZ314", Between(lambda z: 0 * z), X, "cross_entropy", LABELS) == []
