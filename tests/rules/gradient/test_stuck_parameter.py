import pytest
import torch
from torch import nn

from tests.probe.observing import Net, seeded
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import TOKENS, Attends, Gated, Low, Rezero, Routed, learned, zeroed
from tests.rules.ask import ask, severities


def said(model, batch=X):
    return severities("SZ402", model, batch, square)


def gain(norm, *, after=nn.ReLU):
    return zeroed(nn.Sequential(nn.Linear(6, 8), norm, after(), nn.Linear(8, 3)), "1.weight")


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(8), nn.LayerNorm(8), nn.GroupNorm(2, 8)])
def test_a_zero_gain_on_the_main_path_into_a_relu(norm):
    model = gain(norm)
    (finding,) = ask("SZ402", model, X, square)
    assert (finding.severity, finding.where[0], finding.cause) == ("error", "1.weight", "zero-on-main-path")
    assert "wake as soon as 1.weight, which is zero, is redrawn" in finding.message
    assert (finding.fix.parameter, finding.fix.is_safe) == ("1.weight", True)
    never = {name for name, step in learned(model).items() if step is None}
    assert set(finding.where) <= never


def test_a_zero_bias_free_layer_into_a_relu_is_a_kink_at_zero():
    model = zeroed(stack(6, 8, 8, 3, phi=nn.ReLU), "2.weight", "2.bias")
    (finding,) = ask("SZ402", model, X, square)
    assert (finding.where[0], finding.cause) == ("2.weight", "kink-at-zero")
    assert set(finding.where) == {name for name, step in learned(model).items() if step is None}


@pytest.mark.parametrize("phi", [nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid])
def test_the_same_layer_before_an_activation_with_a_slope_at_zero_only_waits(phi):
    assert said(zeroed(stack(6, 8, 8, 3, phi=phi), "2.weight", "2.bias")) == []


def test_it_is_gone_when_the_named_tensor_is_redrawn():
    model = zeroed(stack(6, 8, 8, 3, phi=nn.ReLU), "2.weight", "2.bias")
    (finding,) = ask("SZ402", model, X, square)
    nn.init.kaiming_normal_(model.get_parameter(finding.fix.parameter))
    assert said(model) == []


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (zeroed(stack(6, 8, 8, 3), "4.weight"), X),
        (nn.Sequential(zeroed(Low(), "B"), nn.Tanh(), nn.Linear(8, 3)), X),
        (zeroed(Gated(), "gate.weight"), X),
        (zeroed(Attends(), "o.weight"), TOKENS),
        (Rezero(), X),
        (zeroed(stack(6, 8, 8, 3), "2.weight"), X),
    ],
)
def test_starts_that_wake_by_themselves_are_silent(model, batch):
    assert said(model, batch) == []


def test_frozen_parameters_are_silent():
    model = gain(nn.LayerNorm(8))
    model.requires_grad_(False)
    model[3].bias.requires_grad_(True)
    assert said(model) == []


def test_rows_that_this_batch_does_not_look_up_are_not_judged():
    assert said(nn.Sequential(nn.Embedding(50, 8), nn.ReLU(), nn.Linear(8, 3)), torch.arange(4)) == []


@pytest.mark.parametrize("top", [1, 2])
def test_experts_that_this_batch_does_not_reach_are_not_judged(top):
    model = Routed(top)
    model.router.bias.data.copy_(torch.tensor([9.0, 8.0, -50.0, -50.0]))
    assert said(model) == []


def test_parameters_redundant_by_algebra_are_told_elsewhere():
    assert said(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))) == []
    assert said(Attends(bias=True), TOKENS) == []
    assert said(nn.Sequential(*stack(6, 8, 1), nn.Softmax(-1))) == []


def test_factors_of_a_dead_product_are_told_elsewhere():
    for model, batch in (
        (zeroed(Attends(), "q.weight", "k.weight"), TOKENS),
        (nn.Sequential(zeroed(Low(), "A", "B"), nn.Tanh(), nn.Linear(8, 3)), X),
    ):
        assert said(model, batch) == []


def test_some_units_off_on_this_batch_are_told_elsewhere():
    model = stack(6, 8, 3, phi=nn.ReLU)
    model[0].bias.data[:3] = -50.0
    assert said(model) == []


def test_a_second_call_that_wakes_it_is_enough():
    def forward(self, x):
        return self.head(torch.relu(self.one(x)) + torch.tanh(self.one(x)))

    model = Net(forward, one=nn.Linear(6, 8), head=nn.Linear(8, 3))
    nn.init.zeros_(model.one.weight)
    nn.init.zeros_(model.one.bias)
    assert said(model) == []


def test_a_recurrent_network_is_silent():
    model = Net(
        lambda self, x: self.head(self.rnn(x)[0][:, -1]), rnn=nn.LSTM(6, 8, batch_first=True), head=nn.Linear(8, 3)
    )
    for name, parameter in model.rnn.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
    assert said(model, seeded(6, 5, 6)) == []


@pytest.mark.parametrize("lost", [1, 6, 15])
def test_units_with_row_bias_and_column_zero_never_learn(lost):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    with torch.no_grad():
        model[0].weight[:lost] = 0
        model[0].bias[:lost] = 0
        model[2].weight[:, :lost] = 0
    found = ask("SZ402", model, X, square)
    assert ("error", ("0.weight",)) in {(finding.severity, finding.where) for finding in found}
    assert f"{lost} of 16 rows" in found[0].message
