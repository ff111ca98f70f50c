"""Offsets that these weights make, and those that any weights would."""

import torch
from torch import nn

from tests.rules.ask import ask, generator, he, severities

X, LABELS = torch.randn(64, 32, generator=generator()), torch.arange(64) % 4


def plain(phi=nn.Tanh, depth=2, norm=False):
    layers = [nn.Linear(32, 64), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Linear(64, 64), *([nn.BatchNorm1d(64)] if norm else []), phi()]
    return he(nn.Sequential(*layers, nn.Linear(64, 4)))


def offset(model):
    nn.init.constant_(model[2].bias, 9.0)
    return model


def test_a_layer_that_its_bias_holds_at_one_point():
    (finding,) = ask("SZ306", offset(plain()), X, "cross_entropy", LABELS)
    assert (finding.severity, finding.where, finding.evidence) == ("info", ("2.weight", "2.bias"), "control")
    assert finding.value > 0.9


def test_in_front_of_a_norm_it_is_silent():
    assert severities("SZ306", offset(plain(norm=True)), X, "cross_entropy", LABELS) == []


def test_raw_inputs_and_depth_are_in_the_control():
    assert severities("SZ306", plain(), X + 50, "cross_entropy", LABELS) == []
    assert severities("SZ306", plain(nn.ReLU, 24), X, "cross_entropy", LABELS) == []


def test_a_gate_may_be_offset():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.value, self.head = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 4)
            nn.init.constant_(self.gate.bias, 6.0)

        def forward(self, x):
            return self.head(torch.sigmoid(self.gate(x)) * self.value(x))

    assert severities("SZ306", Gated(), X, "cross_entropy", LABELS) == []


def test_few_samples_are_not_judged():
    assert severities("SZ306", offset(plain()), X[:6], "cross_entropy", LABELS[:6]) == []
