from dataclasses import replace

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.core.graph import Graph
from stepzero.core.trace import Signal
from stepzero.core.vector import Vector
from stepzero.measure.copies import are_equal, have_equal_units, period, tells_samples_apart


def first(model, batch, loss=None):
    record = trace(model, batch, loss)
    return Graph(record), next(record.weighted())


def mlp(*, row=None, column=None, bias=None, phi=nn.Tanh):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), phi(), nn.Linear(16, 4))
    with torch.no_grad():
        nn.init.zeros_(model[0].bias)
        if row is not None:
            model[0].weight.fill_(row)
        if column is not None:
            model[2].weight.copy_(torch.randn(4, 1).expand(4, 16) * column)
        if bias is not None:
            model[0].bias.copy_(torch.randn(16) * bias)
    return model


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"row": 0.1, "column": 1.0}, True),
        ({"row": 0.1}, False),  # columns differ: gradients do
        ({"column": 1.0}, False),  # rows differ: responses do
        ({"row": 0.1, "column": 1.0, "bias": 1.0}, False),  # biases tell them apart
        ({"row": 0.1, "column": 0.0}, None),  # no gradient arrives yet
    ],
)
def test_copies_need_equal_rows_biases_and_columns(changes, expected):
    assert have_equal_units(*first(mlp(**changes), torch.randn(64, 8)), 1e-5) is expected


def test_bias_added_after_the_product_counts():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.full((8, 16), 0.1)), nn.Parameter(torch.randn(16))
            self.head = nn.Linear(16, 4)
            nn.init.constant_(self.head.weight, 0.1)

        def forward(self, x):
            return self.head(x @ self.weight + self.bias)

    graph, operation = first(Net(), torch.randn(64, 8))
    assert are_equal(operation.forward, 1e-5)
    assert have_equal_units(graph, operation, 1e-5) is False


def test_random_units_are_not_equal():
    _, operation = first(mlp(), torch.randn(64, 8))
    assert not are_equal(operation.forward, 1e-5)


def test_telling_samples_apart():
    model, ids = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 4)), torch.randint(0, 9, (16,))
    assert tells_samples_apart(*first(model, ids), 1e-6)
    nn.init.constant_(model[0].weight, 0.5)
    assert not tells_samples_apart(*first(model, ids), 1e-6)


def repeating(units: int, block: int, rows: int = 2) -> Signal:
    """Fingerprints in equal blocks."""
    values = [1.0 * (unit % block) ** (row + 1) for row in range(rows) for unit in range(units)]
    empty = Vector()
    return Signal(8, 8, units, 1.0, 0.0, None, None, 1.0, empty, empty, Vector.of(values))


@pytest.mark.parametrize(
    ("units", "block", "least", "expected"),
    [(20, 5, 4, 5), (20, 10, 4, 10), (20, 1, 4, None), (20, 20, 4, None), (21, 7, 4, 7)],
)
def test_the_smallest_period_of_units_that_differ_inside_a_block(units, block, least, expected):
    assert period(repeating(units, block), 1e-5, least=least) == expected


def test_no_period_where_one_unit_is_off_or_the_block_is_too_small():
    signal = repeating(20, 5)
    values = list(signal.fingerprint)
    values[17] += 0.1
    assert period(replace(signal, fingerprint=Vector.of(values)), 1e-5, least=4) is None
    assert period(repeating(20, 5), 1e-5, least=6) == 10
    assert period(repeating(18, 7), 1e-5, least=4) is None
