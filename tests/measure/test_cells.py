import math

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.cells import candidates, gate_biases

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
