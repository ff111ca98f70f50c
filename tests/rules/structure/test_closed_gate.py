import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import stepzero
from tests.probe.observing import Net, seeded
from tests.rules.ask import ask

X = seeded(32, 16)
SEQUENCE = seeded(16, 12, 8)


def highway(bias, gate=torch.sigmoid, *, spread=0.0):
    def forward(self, x):
        opened = gate(self.gate(x))
        return self.head(opened * torch.relu(self.change(x)) + (1 - opened) * x)

    torch.manual_seed(0)
    model = Net(forward, gate=nn.Linear(16, 16), change=nn.Linear(16, 16), head=nn.Linear(16, 4))
    with torch.no_grad():
        model.gate.bias.copy_(bias + spread * torch.linspace(-1, 1, 16))
    return model


class Recurrent(nn.Module):
    """``gates`` sets slices of the second bias vector, the rest is zero."""

    def __init__(self, kind, gates, *, layers=1, **options):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = kind(8, 16, num_layers=layers, batch_first=True, **options)
        self.head = nn.Linear(16 * (2 if options.get("bidirectional") else 1), 4)
        for name, parameter in self.rnn.named_parameters():
            (nn.init.orthogonal_ if "weight" in name else nn.init.zeros_)(parameter)
        for place, value in gates.items():
            self.rnn.get_parameter(f"bias_hh_l{layers - 1}").data[16 * place : 16 * place + 16] = value

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def found(model, batch=X):
    return [(finding.severity, finding.where) for finding in ask("SZ703", model, batch)]


@pytest.mark.parametrize("bias", [-7.0, -10.0, -20.0])
def test_a_gate_that_is_shut_by_its_bias(bias):
    model = highway(bias)
    (finding,) = ask("SZ703", model, X)
    assert (finding.severity, finding.where) == ("warning", ("gate.weight", "gate.bias"))
    assert finding.value == pytest.approx(float(torch.sigmoid(model.gate(X)).max().detach()), rel=1e-3)
    nn.init.zeros_(model.get_parameter(finding.fix.parameter))
    assert found(model) == []


@pytest.mark.parametrize(
    ("kind", "gates", "name"),
    [
        (nn.LSTM, {3: -10.0}, "output"),
        (nn.LSTM, {0: -10.0}, "input"),
        (nn.LSTM, {0: -10.0, 1: 1.0}, "input"),
        (nn.GRU, {1: 15.0}, "update"),
    ],
)
def test_cells_in_one_call(kind, gates, name):
    (finding,) = ask("SZ703", Recurrent(kind, gates), SEQUENCE)
    assert (finding.severity, finding.where) == ("warning", ("rnn.bias_hh_l0",))
    assert finding.message.startswith(f"the {name} gate of")


def test_only_the_layer_that_is_shut_is_named():
    assert found(Recurrent(nn.LSTM, {3: -10.0}, layers=2), SEQUENCE) == [("warning", ("rnn.bias_hh_l1",))]


def test_both_biases_are_summed():
    model = Recurrent(nn.LSTM, {3: -10.0})
    model.rnn.bias_ih_l0.data[48:] = 10.0
    assert found(model, SEQUENCE) == []


def test_single_cells_in_a_loop():
    def forward(self, x):
        h = c = x.new_zeros(x.shape[0], 16)
        for step in x.unbind(1):
            h, c = self.cell(step, (h, c))
        return self.head(h)

    model = Net(forward, cell=nn.LSTMCell(8, 16), head=nn.Linear(16, 4))
    assert found(model, SEQUENCE) == []
    model.cell.bias_hh.data[48:] = -10.0
    assert found(model, SEQUENCE) == [("warning", ("cell.bias_hh",))]


def test_a_shut_gate_on_the_only_path_makes_the_network_silent():
    """What the warning is about: nothing of the input arrives, and almost no gradient comes back."""
    model = Recurrent(nn.LSTM, {3: -10.0})
    assert float(model.rnn(SEQUENCE)[0].detach().abs().max()) < 1e-3
    report = stepzero.check(model, SEQUENCE, "cross_entropy", torch.arange(16) % 4)
    assert "SZ703" in {finding.code for finding in report.findings if finding.root is None}


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [2.0, 0.0, -1.0, -2.0, -3.0])
def test_a_gate_that_starts_nearly_shut_on_purpose_is_silent(bias):
    assert found(highway(bias)) == []


def test_a_nearly_shut_gate_is_an_accepted_idiom():
    report = stepzero.check(highway(-2.0), X, "cross_entropy", torch.arange(32) % 4)
    assert "gate bias" in {each.idiom for each in report.coverage.accepted}


def test_one_open_unit_is_enough():
    assert found(highway(-9.0, spread=8.0)) == []


@pytest.mark.parametrize("gates", [{1: 1.0}, {1: -10.0}, {1: 5.0}, {0: -3.0, 3: -3.0}, {2: -10.0}, {}])
def test_lstm_gates_that_shut_nothing(gates):
    assert found(Recurrent(nn.LSTM, gates), SEQUENCE) == []


@pytest.mark.parametrize("gates", [{0: -10.0}, {1: 3.0}, {1: -10.0}, {}])
def test_gru_gates_that_shut_nothing(gates):
    assert found(Recurrent(nn.GRU, gates), SEQUENCE) == []


def test_long_memory_is_silent():
    """Biases log U(1, T - 1) for the forget gate and their negatives for the input gate."""
    memory = torch.log(1 + 998 * torch.rand(16, generator=torch.Generator().manual_seed(1)))
    assert found(Recurrent(nn.LSTM, {0: -memory, 1: memory}), SEQUENCE) == []
    assert found(Recurrent(nn.LSTM, {0: -6.0, 1: 6.0}), SEQUENCE) == []
    assert 1 / (1 + math.exp(6.0)) < 0.01


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"bias": False}])
def test_default_cells_are_silent(options):
    assert found(Recurrent(nn.LSTM, {}, **options), SEQUENCE) == []


def test_a_gate_of_exactly_zero_is_told_elsewhere():
    assert found(highway(-200.0)) == []


def test_a_hard_sigmoid_that_still_has_its_slope_is_silent():
    model = highway(-2.97, F.hardsigmoid)
    nn.init.normal_(model.gate.weight, std=1e-4, generator=torch.Generator().manual_seed(0))
    assert 0.0 < float(F.hardsigmoid(model.gate(X)).max()) < 0.01
    assert found(model) == []


def test_scores_with_a_prior_are_heads():
    parts = {"a": nn.Linear(16, 4), "b": nn.Linear(16, 4)}
    model = Net(lambda self, x: torch.sigmoid(self.a(x)) * torch.sigmoid(self.b(x)), **parts)
    nn.init.constant_(model.a.bias, -7.0)
    assert found(model) == []


def test_sigmoid_attention_is_silent():
    def forward(self, x):
        return self.head(torch.sigmoid(self.q(x) @ self.k(x).mT - 7.0) @ self.v(x))

    model = Net(forward, **{name: nn.Linear(8, 8) for name in ("q", "k", "v", "head")})
    assert found(model, SEQUENCE) == []


def test_a_frozen_gate_is_silent():
    model = highway(-10.0)
    model.gate.requires_grad_(False)
    assert found(model) == []
    model = Recurrent(nn.LSTM, {3: -10.0})
    model.rnn.requires_grad_(False)
    assert found(model, SEQUENCE) == []


def test_few_positions_are_not_judged():
    assert found(highway(-10.0), X[:4]) == []
