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


class Tabled(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.table, self.drop, self.cell, self.head = nn.Embedding(200, 16), nn.Dropout(0.1), cell, nn.LazyLinear(3)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(self.drop(self.table(symbols)))[0][:, -1])


SYMBOLS = torch.randint(200, (16, 5), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_table_and_the_matrix_behind_it_are_equal_and_make_the_share(kind, options) -> None:
    model = Tabled(kind(16, 40, batch_first=True, **options))
    model(SYMBOLS)
    sz.init_(model, SYMBOLS)
    sizes = {name: float(value.detach().square().mean().sqrt()) for name, value in model.named_parameters()}
    first = [size for name, size in sizes.items() if "weight_ih_l0" in name]
    assert len(first) == 1 + len(options) // 2
    assert first == pytest.approx([gates.balanced(16, 40)] * len(first), rel=0.1)
    assert sizes["table.weight"] == pytest.approx(gates.balanced(16, 40), rel=0.1)
    with torch.no_grad():
        drive = model.table.weight @ model.cell.weight_ih_l0.T
    assert float(drive.std()) == pytest.approx(gates.share(16, 40), rel=0.15)
    if "weight_ih_l1" in str(sizes):
        width = model.cell.weight_ih_l1.shape[1]
        assert sizes["cell.weight_ih_l1"] == pytest.approx((width + 40) ** -0.5, rel=0.1)


def test_a_table_that_something_else_reads_too_keeps_its_size() -> None:
    class Both(Tabled):
        def forward(self, symbols: torch.Tensor) -> torch.Tensor:
            rows = self.table(symbols)
            return self.head(torch.cat([self.cell(rows)[0][:, -1], rows[:, -1]], -1))

    model = Both(nn.GRU(16, 40, batch_first=True))
    model(SYMBOLS)
    sz.init_(model, SYMBOLS)
    assert float(model.table.weight.detach().std()) == pytest.approx(1.0, rel=0.1)
    assert float(model.cell.weight_ih_l0.detach().std()) == pytest.approx(56**-0.5, rel=0.1)
