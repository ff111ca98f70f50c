"""One generator state behind several tensors, and the ways to look like it."""

import copy

import torch
from torch import nn

from tests.rules.ask import ask, severities

X = torch.randn(32, 16)


def seeded(fan_in, fan_out, seed=3):
    torch.manual_seed(seed)
    return nn.Linear(fan_in, fan_out)


def test_layers_of_other_shape_from_one_seed():
    (finding,) = ask("SZ210", lambda: (nn.Sequential(seeded(16, 24), nn.ReLU(), seeded(24, 8)), X))
    assert (finding.severity, finding.where, finding.cause) == ("warning", ("0.weight", "2.weight"), "same-seed")


def test_a_scaled_copy_of_one_shape_is_one_draw():
    def build():
        model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
        model[2].weight.data.copy_(0.5 * model[0].weight.data)
        return model, X

    assert [finding.where for finding in ask("SZ210", build)] == [("0.weight", "2.weight")]


def test_independent_layers_are_silent():
    assert severities("SZ210", lambda: (nn.Sequential(seeded(16, 24), nn.ReLU(), seeded(24, 8, 4)), X)) == []


def test_exact_copies_are_left_to_their_own_rules():
    layer = seeded(16, 16)
    assert severities("SZ210", lambda: (nn.Sequential(layer, nn.ReLU(), copy.deepcopy(layer)), X)) == []


def test_tied_and_frozen_tensors_are_silent():
    def build():
        model = nn.Sequential(seeded(16, 24), nn.ReLU(), seeded(24, 8))
        model[0].requires_grad_(False)
        return model, X

    assert severities("SZ210", build) == []
    layer = seeded(16, 16)
    assert severities("SZ210", lambda: (nn.Sequential(layer, nn.ReLU(), layer), X)) == []


def test_frequency_tables_of_two_lengths_are_silent():
    class Waves(nn.Module):
        def __init__(self):
            super().__init__()
            self.short, self.long = (nn.Parameter(wave(n)) for n in (8, 16))
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            return self.head(x + self.short.sum(0) + self.long.sum(0))

    def wave(length):
        rate = torch.exp(torch.arange(0, 16, 2) * -0.5)
        angles = torch.arange(float(length))[:, None] * rate
        return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)

    assert severities("SZ210", lambda: (Waves(), X)) == []
