import pytest
import torch
from torch import nn
from torch.nn import functional as F

import stepzero
from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 32, generator=generator(7))


def mlp(shut, bias=-50.0, phi=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 100), phi or nn.ReLU(), nn.Linear(100, 4))
    with torch.no_grad():
        model[0].bias[:shut] = bias
    return model


@pytest.mark.parametrize(("shut", "expected"), [(0, []), (8, []), (30, ["warning"]), (60, ["error"]), (100, ["error"])])
def test_share_of_units_decides(shut, expected):
    assert severities("SZ602", mlp(shut), X) == expected


def test_message_and_place():
    (finding,) = ask("SZ602", mlp(30), X)
    assert finding.where == ("0.bias",)
    assert "30 of 100 units of relu" in finding.message
    assert "down to -50 against 0.6" in finding.message


def test_it_is_the_root_of_the_dead_units():
    report = stepzero.check(mlp(100), X, select=["SZ602", "SZ305"])
    assert {finding.code: finding.root for finding in report.findings} == {"SZ602": None, "SZ305": "SZ602:0.bias"}


def test_the_units_really_revive_without_their_bias():
    model = mlp(100)
    nn.init.zeros_(model[0].bias)
    assert severities("SZ305", model, X) == []


def test_a_faded_signal_is_another_matter():
    """Without any bias that is larger than the weights, units die because nothing arrives."""
    torch.manual_seed(0)
    layers = [layer for _ in range(12) for layer in (nn.Linear(32, 32), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(32, 4))
    assert severities("SZ602", model, X) == []


# -- traps ----------------------------------------------------------------------------------------------------------


def test_units_that_their_weights_shut_are_silent():
    model = mlp(0)
    with torch.no_grad():
        model[0].weight.copy_(-model[0].weight.abs())
    assert severities("SZ305", model, X.abs()) == ["error"]
    assert severities("SZ602", model, X.abs()) == []


def test_prior_bias_in_the_last_layer_is_silent():
    model = mlp(0)
    nn.init.constant_(model[2].bias, -4.6)
    assert severities("SZ602", model, X) == []


def test_activations_that_never_shut_are_silent():
    for phi in (nn.Tanh(), nn.LeakyReLU(), nn.Softplus()):
        assert severities("SZ602", mlp(100, phi=phi), X) == []


def test_gates_are_silent():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.up, self.down = nn.Linear(32, 64), nn.Linear(32, 64), nn.Linear(64, 4)
            nn.init.constant_(self.gate.bias, -50.0)

        def forward(self, x):
            return self.down(F.relu(self.gate(x)) * self.up(x))

    assert severities("SZ602", Gated(), X) == []


def test_few_positions_are_silent():
    assert severities("SZ602", mlp(100), X[:16]) == []


def test_a_layer_called_twice_is_shut_where_it_is_shut_both_times():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.head = nn.Linear(32, 32), nn.Linear(32, 4)
            nn.init.constant_(self.fc.bias, -20.0)

        def forward(self, x):
            return self.head(F.relu(self.fc(x)) + F.relu(self.fc(100.0 * x)))

    assert severities("SZ602", Twice(), X) == []
