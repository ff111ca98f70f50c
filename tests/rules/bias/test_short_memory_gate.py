import math

import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator

X = torch.randn(4, 50, 8, generator=generator(1))


def cell(kind=nn.LSTM, forget=(0.0, 0.0), **options):
    torch.manual_seed(0)
    model = kind(8, 16, num_layers=2, batch_first=True, **options)
    for name, parameter in model.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
        for layer, value in enumerate(forget):
            if f"bias_hh_l{layer}" in name:
                nn.init.constant_(parameter.data[16:32], value)
    return model


def said(model, x=X):
    found = ask("SZ604", model, x, lambda output: output[0].square().mean())
    return [(finding.severity, finding.where) for finding in found]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_bias_of_one_in_the_first_layer_alone_is_a_warning(kind):
    assert said(cell(kind, (1.0, 0.0))) == [("warning", ("bias_ih_l1",))]


def test_one_direction_alone_is_a_warning():
    model = cell(forget=(1.0, 1.0), bidirectional=True)
    nn.init.zeros_(model.bias_hh_l1_reverse)
    assert said(model) == [("warning", ("bias_ih_l1_reverse",))]


def test_the_number_is_the_memory_of_a_half():
    finding, _ = ask("SZ604", cell(), X, lambda output: output[0].square().mean())
    assert finding.value == pytest.approx(1 / math.log(2))


def test_zero_biases_are_a_note_and_only_over_long_sequences():
    assert {severity for severity, _ in said(cell())} == {"info"}
    assert said(cell(), X[:, :10]) == []


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.0, 3.0])
def test_a_bias_set_everywhere_is_silent(value):
    assert said(cell(forget=(value, value))) == []


def test_both_vectors_are_added():
    model = cell(forget=(1.0, 0.0))
    nn.init.constant_(model.bias_ih_l1.data[16:32], 0.5)
    nn.init.constant_(model.bias_hh_l1.data[16:32], 0.5)
    assert said(model) == []


def test_chrono_biases_are_silent_and_default_draws_no_warning():
    model = cell()
    for name, parameter in model.named_parameters():
        if "bias_hh" in name:
            parameter.data[16:32] = torch.log(1 + 48 * torch.rand(16, generator=generator(5)))
    assert said(model) == []
    for seed in range(5):
        torch.manual_seed(seed)
        drawn = nn.LSTM(8, 16, num_layers=3, bidirectional=True, batch_first=True)
        assert "warning" not in {severity for severity, _ in said(drawn)}


def test_cells_without_gates_or_biases_are_silent():
    assert said(nn.RNN(8, 16, batch_first=True)) == []
    assert said(nn.LSTM(8, 16, bias=False, batch_first=True)) == []


def test_a_gate_written_out_is_a_note():
    class Minimal(nn.Module):
        def __init__(self, bias):
            super().__init__()
            torch.manual_seed(0)
            self.gate, self.new = nn.Linear(8, 16), nn.Linear(8, 16)
            nn.init.constant_(self.gate.bias, bias)

        def forward(self, x):
            z, n = torch.sigmoid(self.gate(x)), self.new(x)
            h = torch.zeros_like(n[:, 0])
            for t in range(x.shape[1]):
                h = z[:, t] * h + (1 - z[:, t]) * n[:, t]
            return (h,)

    assert said(Minimal(0.0)) == [("info", ("gate.weight", "gate.bias"))]
    assert said(Minimal(3.0)) == []
