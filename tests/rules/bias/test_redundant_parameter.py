import pytest
import torch
from torch import nn

import stepzero
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import TOKENS, Attends, zeroed
from tests.rules.ask import ask


def found(model, batch=X):
    return {finding.where: finding.severity for finding in ask("SZ603", model, batch, square)}


def before(norm, bias=True):
    return nn.Sequential(nn.Linear(6, 8, bias=bias), norm, nn.Tanh(), nn.Linear(8, 3))


def test_a_bias_in_front_of_batch_norm():
    assert found(before(nn.BatchNorm1d(8))) == {("0.bias",): "info"}
    assert found(before(nn.BatchNorm1d(8), bias=False)) == {}


def test_a_key_bias():
    assert found(Attends(bias=True), TOKENS) == {("k.bias",): "info"}
    assert found(Attends(), TOKENS) == {}


def test_a_convolution_in_front_of_batch_and_instance_norm():
    for norm in (nn.BatchNorm2d(4), nn.InstanceNorm2d(4), nn.GroupNorm(4, 4)):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
        assert found(model, seeded(4, 3, 5, 5)) == {("0.bias",): "info"}


def test_several_are_one_note():
    model = nn.Sequential(*before(nn.BatchNorm1d(8))[:3], nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    (finding,) = ask("SZ603", model, X, square)
    assert finding.where == ("0.bias", "3.bias")
    assert finding.message.startswith("0.bias and 1 more parameter are used and change nothing")


def test_a_shift_in_front_of_a_layer_and_a_norm_is_redundant_as_well():
    """The layer turns the shift of the norm below into a bias, and the norm above takes it off."""
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    assert found(model) == {("0.bias", "1.bias", "2.bias"): "info"}


@pytest.mark.parametrize("name", ["0.bias"])
def test_it_changes_nothing_indeed(name):
    model = before(nn.BatchNorm1d(8))
    (finding,) = ask("SZ603", model, X, square)
    assert finding.where == (name,)
    output = model(X)
    with torch.no_grad():
        model.get_parameter(name).normal_()
    torch.testing.assert_close(model(X), output)


def test_it_keeps_the_error_rules_quiet():
    report = stepzero.check(before(nn.BatchNorm1d(8)), X, square)
    assert (report.errors, report.warnings) == ((), ())


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.RMSNorm(8)])
def test_norms_that_leave_the_bias_a_direction_are_silent(norm):
    assert found(before(norm)) == {}


def test_a_bias_that_is_constant_over_the_normalised_axis_is_redundant():
    """Layer norm over places takes off what is equal at all of them: a bias of one channel."""

    def forward(self, x):
        h = self.conv(x)
        return self.head(nn.functional.layer_norm(h, h.shape[2:]).flatten(1))

    model = Net(forward, conv=nn.Conv1d(6, 4, 3), head=nn.Linear(12, 3))
    assert found(model, seeded(4, 6, 5)) == {("conv.bias",): "info"}


def test_a_bias_behind_dead_units_is_told_elsewhere():
    model = stack(6, 8, 3, phi=nn.ReLU)
    nn.init.constant_(model[0].bias, -50.0)
    assert found(model) == {}


def test_a_bias_behind_a_zero_layer_is_told_elsewhere():
    assert found(zeroed(stack(6, 8, 8, 3), "4.weight")) == {}


def test_a_network_without_any_effect_is_told_elsewhere():
    assert found(nn.Sequential(*stack(6, 8, 1), nn.Softmax(-1))) == {}


def test_an_unused_module_is_told_elsewhere():
    assert found(Net(lambda self, x: self.fc(x), fc=nn.Linear(6, 3), idle=nn.Linear(3, 3))) == {}


def test_a_frozen_bias_is_silent():
    model = before(nn.BatchNorm1d(8))
    model[0].bias.requires_grad_(False)
    assert found(model) == {}


class FrozenNorm(nn.Module):
    """As detection models keep pretrained norms: gains are buffers."""

    def __init__(self, gain):
        super().__init__()
        self.register_buffer("gain", torch.full((8,), gain))

    def forward(self, x):
        return x * self.gain


@pytest.mark.parametrize(("gain", "expected"), [(0.0, {("a.weight", "a.bias"): "warning"}), (0.5, {})])
def test_a_branch_that_a_fixed_zero_takes_out(gain, expected):
    model = Net(
        lambda self, x: self.out(torch.relu(self.base(x) + self.norm(self.a(x)))),
        a=nn.Linear(6, 8),
        base=nn.Linear(6, 8),
        out=nn.Linear(8, 3),
        norm=FrozenNorm(gain),
    )
    assert found(model) == expected


def test_a_trained_zero_and_one_that_the_batch_brings_are_no_fixed_ones():
    model = Net(
        lambda self, x: self.out(self.base(x) + self.gain * self.a(x)),
        a=nn.Linear(6, 8),
        base=nn.Linear(6, 8),
        out=nn.Linear(8, 3),
    )
    model.gain = nn.Parameter(torch.zeros(8))
    assert found(model) == {}
    masked = Net(
        lambda self, x: self.out(self.base(x) + self.a(x) * (x[:, :1] > 99)),
        a=nn.Linear(6, 8),
        base=nn.Linear(6, 8),
        out=nn.Linear(8, 3),
    )
    assert "warning" not in found(masked).values()
