import math

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.cells import candidates, gate_biases, valves

X = torch.randn(64, 12, 8)


def found(model, x=X):
    record = trace(model, x, lambda output: output[0].square().mean())
    facts = {fact.name: fact for fact in record.parameters}
    return [cell for operation in record.operations for cell in candidates(record, operation, facts)]


def test_the_tanh_slice_of_both_biases_is_summed():
    model = nn.LSTM(8, 16, batch_first=True)
    (cell,) = found(model)
    expected = (model.bias_ih_l0 + model.bias_hh_l0)[32:48].detach().double()
    assert cell.bias == pytest.approx(expected.tolist())


def test_drive_is_what_the_weights_bring():
    model = nn.GRU(8, 512, batch_first=True)
    (cell,) = found(model)
    product = X @ model.weight_ih_l0[1024:].detach().T
    assert cell.drive[0] == pytest.approx(float(product.square().mean().sqrt()), rel=0.3)


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (nn.LSTM(8, 16, num_layers=2, batch_first=True), 2),
        (nn.GRU(8, 16, bidirectional=True, batch_first=True), 2),
        (nn.RNN(8, 16, batch_first=True), 1),
        (nn.RNN(8, 16, nonlinearity="relu", batch_first=True), 0),
        (nn.LSTM(8, 16, bias=False, batch_first=True), 0),
    ],
)
def test_one_candidate_a_layer_and_direction(model, count):
    assert len(found(model)) == count
    assert all(len(cell.bias) == 16 and math.isfinite(cell.drive[0]) for cell in found(model))


@pytest.mark.parametrize(
    ("model", "gates"),
    [
        (nn.LSTM(8, 16, batch_first=True), [0, 1, 3]),
        (nn.GRU(8, 16, batch_first=True), [0, 1]),
        (nn.RNN(8, 16, batch_first=True), []),
    ],
)
def test_gates_are_the_slices_that_a_sigmoid_reads(model, gates):
    record = trace(model, X, lambda output: output[0].square().mean())
    facts = {fact.name: fact for fact in record.parameters}
    values = [each for operation in record.operations for _, each in gate_biases(operation, facts)]
    total = (model.bias_ih_l0 + model.bias_hh_l0).detach().double()
    assert values == [pytest.approx(total[16 * place : 16 * (place + 1)].tolist()) for place in gates]


def opened(model, steps=12, x=X):
    record = trace(model, x, lambda output: output[0].square().mean())
    facts = {fact.name: fact for fact in record.parameters}
    found = [each for operation in record.operations for each in valves(record, operation, facts, steps)]
    return {valve.gate: valve.passes for valve in found}


def cell(kind, *gates):
    """Weights of zero: the gates are what their biases say."""
    model = kind(8, 16, batch_first=True)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    for place, value in enumerate(gates):
        model.bias_hh_l0.data[16 * place : 16 * place + 16] = value
    return model


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def run(model, x, start):
    """States of the cell, step by step, for a cell input of tanh(1)."""
    model.bias_ih_l0.data[32:48] = 1.0
    return model(x, start)


@pytest.mark.parametrize(("enter", "forget"), [(0.0, 0.0), (-4.0, 1.0), (-6.0, 6.0), (0.0, 30.0)])
def test_what_the_input_gate_writes_is_the_state_of_a_real_cell(enter, forget):
    model, zero = cell(nn.LSTM, enter, forget), torch.zeros(1, 3, 16)
    expected = opened(model)["input"] * math.tanh(1.0)
    with torch.no_grad():
        _, (_, state) = run(model, torch.randn(3, 12, 8), (zero, zero))
    assert state.mean() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("update", [0.0, 3.0, 10.0])
def test_what_the_update_gate_writes_is_the_state_of_a_real_cell(update):
    model = cell(nn.GRU, 0.0, update)
    expected = opened(model)["update"] * math.tanh(1.0)
    with torch.no_grad():
        _, state = run(model, torch.randn(3, 12, 8), torch.zeros(1, 3, 16))
    assert state.mean() == pytest.approx(expected, rel=1e-3)


def test_the_output_gate_is_its_sigmoid_and_weights_may_open_it():
    model = cell(nn.LSTM, 0.0, 0.0, 0.0, -7.0)
    assert opened(model)["output"] == pytest.approx(sigmoid(-7.0))
    nn.init.normal_(model.weight_ih_l0)
    assert opened(model)["output"] > 5 * sigmoid(-7.0)


def test_no_gates_no_valves():
    assert opened(nn.RNN(8, 16, batch_first=True)) == opened(nn.LSTM(8, 16, bias=False, batch_first=True)) == {}
