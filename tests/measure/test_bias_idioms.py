"""Biases that are set on purpose: told from drawn ones, and from the same numbers where they have no reason."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.core.limits import Limits
from stepzero.measure.bias_idioms import accepted


def found(model, batch, loss):
    return [(each.idiom, each.where) for each in accepted(trace(model, batch, loss), Limits())]


def detector(bias, width=1):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, width))
    nn.init.normal_(model[2].weight, std=0.01)
    with torch.no_grad():
        model[2].bias.copy_(torch.as_tensor(bias))
    return model


def rare(output):
    target = torch.zeros_like(output)
    target[0] = 1.0
    return F.binary_cross_entropy_with_logits(output, target)


@pytest.mark.parametrize(("share", "is_prior"), [(0.01, True), (0.05, True), (0.99, False)])
def test_a_prior_is_one_that_lowers_the_first_loss(share, is_prior):
    """One in 64 is positive: a bias for rare positives helps, one for frequent ones does not."""
    bias = math.log(share / (1 - share))
    expected = [("prior bias", ("2.bias",))] if is_prior else []
    assert found(detector(bias), torch.randn(64, 8), rare) == expected


def test_class_frequencies():
    target = torch.tensor([0] * 56 + [1] * 6 + [2] * 2)
    log_prior = (torch.bincount(target).float() / 64).log()
    model = detector(log_prior, 3)
    assert found(model, torch.randn(64, 8), lambda output: F.cross_entropy(output, target)) == [
        ("prior bias", ("2.bias",))
    ]


@pytest.mark.parametrize("bias", [0.0, 0.001])
def test_a_bias_that_the_weights_outweigh_is_no_prior(bias):
    model = detector(bias)
    nn.init.normal_(model[2].weight, std=0.5)
    assert found(model, torch.randn(64, 8), rare) == []


def test_the_same_bias_in_a_hidden_layer_is_none():
    model = detector(0.0)
    nn.init.constant_(model[0].bias, -4.6)
    assert found(model, torch.randn(64, 8), rare) == []


class Highway(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.gate, self.fc, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        nn.init.constant_(self.gate.bias, bias) if bias is not None else None
        nn.init.constant_(self.fc.bias, -2.0)

    def forward(self, x):
        gate = torch.sigmoid(self.gate(x))
        return self.head(gate * torch.tanh(self.fc(x)) + (1 - gate) * x)


@pytest.mark.parametrize(("bias", "expected"), [(-2.0, ["gate.bias"]), (0.0, []), (None, [])])
def test_a_written_out_gate(bias, expected):
    """The other factor, tanh, multiplies as well: its bias counts only because the sigmoid multiplies it in turn."""
    torch.manual_seed(0)
    names = {where[0] for idiom, where in found(Highway(bias), torch.randn(32, 16), lambda o: o.square().mean())}
    assert names - {"fc.bias"} == set(expected)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize(("value", "is_set"), [(1.0, True), (0.0, False)])
def test_gates_of_recurrent_cells(kind, value, is_set):
    torch.manual_seed(0)
    model = nn.Sequential(kind(8, 16), First(), nn.Linear(16, 2))
    with torch.no_grad():
        for name in ("bias_ih_l0", "bias_hh_l0"):
            model[0].get_parameter(name).zero_()
        model[0].bias_hh_l0[16:32] = value  # forget gate of one, update gate of the other
    expected = [("gate bias", ("0.bias_hh_l0",))] if is_set else []
    assert found(model, torch.randn(5, 4, 8), lambda output: output.square().mean()) == expected


def test_drawn_biases_of_cells_are_not_set():
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(8, 16), First(), nn.Linear(16, 2))
    assert found(model, torch.randn(5, 4, 8), lambda output: output.square().mean()) == []


class First(nn.Module):
    def forward(self, outputs):
        return outputs[0]


def test_a_bias_without_a_gradient_has_no_excuse():
    torch.manual_seed(0)
    model = Highway(-2.0)
    model.gate.bias.requires_grad_(False)
    assert ("gate bias", ("gate.bias",)) not in found(model, torch.randn(32, 16), lambda o: o.square().mean())
