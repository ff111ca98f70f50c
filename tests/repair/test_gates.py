"""Gates that keep a state start open, once, and hold it for as long as the law says."""

import math

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.repair import gates

X = torch.randn(16, 5, 6, generator=torch.Generator().manual_seed(0))


class Reader(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0][:, -1])


class Stepper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(6, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x.new_zeros(len(x), 4)
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state)


@pytest.mark.parametrize("batch", [X, None])
@pytest.mark.parametrize("build", [lambda: Reader(nn.GRU(6, 4, batch_first=True)), Stepper])
def test_an_empty_gru_keeps_its_state_by_a_sigmoid_of_one(build, batch) -> None:
    model = build()
    sz.init_(model, batch)
    cell = model.cell
    with torch.no_grad():
        for name, value in cell.named_parameters():
            if "weight" in name:
                value.zero_()
    state = torch.ones(1, 4)
    kept = cell(X[0, :1], state) if isinstance(cell, nn.GRUCell) else cell(X[:1, :1], state[None])[1][0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 + math.exp(-1))))


def test_cells_without_such_a_gate_have_none() -> None:
    assert gates.opened("rnn", 4) is None
    assert gates.opened("RNNCell", 4) is None
    assert gates.opened("linear", 4) is None


@pytest.mark.parametrize("name", ["lstm", "lstm_cell", "LSTM", "LSTMCell", "gru", "gru_cell", "GRU", "GRUCell"])
def test_operations_and_classes_are_known(name: str) -> None:
    opened = gates.opened(name, 7)
    assert opened is not None
    assert opened.values == ((7, 14, 1.0),)


@pytest.mark.parametrize("batch", [X, None])
@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_input_and_state_share_one_fan(cell, batch) -> None:
    """Sums of both have the variance that one matrix over both would give a unit input: 6 of 6 + 34."""
    model = Reader(cell(6, 34, batch_first=True))
    model.head = nn.Linear(34, 3)
    sz.init_(model, batch)
    assert float(model.cell.weight_ih_l0.detach().square().mean()) == pytest.approx(1 / 40, rel=0.15)
    assert float(model.cell.weight_hh_l0.detach().square().mean()) == pytest.approx(1 / 34, rel=1e-3)
