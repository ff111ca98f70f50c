import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.core.graph import Graph
from stepzero.measure.gates import is_elementwise_gate, is_gate, is_in_gating_branch, is_last


class Squeeze(nn.Module):
    """Squeeze-and-excite over a convolution that is itself squashed."""

    def __init__(self):
        super().__init__()
        self.conv, self.down, self.up, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4), nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        h = torch.tanh(self.conv(x))
        gate = torch.sigmoid(self.up(F.relu(self.down(h.mean((2, 3))))))
        return torch.sigmoid(self.head((h * gate[..., None, None]).mean((2, 3))))


class Cell(nn.Module):
    """One step of a long short-term memory cell written by hand, from a state."""

    def __init__(self):
        super().__init__()
        self.i, self.f, self.o, self.g, self.c0, self.head = (nn.Linear(8, 8) for _ in range(6))

    def forward(self, x):
        c = torch.sigmoid(self.f(x)) * self.c0(x) + torch.sigmoid(self.i(x)) * torch.tanh(self.g(x))
        return self.head(torch.sigmoid(self.o(x)) * torch.tanh(c))


class Attend(nn.Module):
    """Attention whose weights are sigmoids."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        return torch.sigmoid(self.q(x) @ self.k(x).mT) @ self.v(x)


def verdicts(model, batch):
    record = trace(model, batch)
    graph = Graph(record)
    return [
        (op.name, is_gate(graph, op.index), is_in_gating_branch(graph, op.index), is_last(graph, op.index))
        for op in record.operations
        if op.kind == "activation"
    ]


def test_squeeze_and_excite():
    assert verdicts(Squeeze(), torch.randn(4, 3, 8, 8)) == [
        ("tanh", False, False, False),  # it is gated, and it also feeds the gate
        ("relu", False, True, False),
        ("sigmoid", True, True, False),
        ("sigmoid", False, False, True),
    ]


def test_every_activation_of_a_memory_cell_is_a_gate():
    assert all(gate for _, gate, _, _ in verdicts(Cell(), torch.randn(16, 8)))


def test_sigmoid_attention_is_a_gate():
    assert verdicts(Attend(), torch.randn(4, 5, 8)) == [("sigmoid", True, True, False)]


@pytest.mark.parametrize("phi", [nn.Tanh(), nn.ReLU()])
def test_a_hidden_layer_is_none(phi):
    model = nn.Sequential(nn.Linear(8, 8), phi, nn.Linear(8, 8), nn.Linear(8, 4))
    assert [verdict[1:] for verdict in verdicts(model, torch.randn(16, 8))] == [(False, False, False)]


def elementwise(model, batch):
    record = trace(model, batch)
    graph = Graph(record)
    return [op.name for op in record.operations if op.kind == "activation" and is_elementwise_gate(graph, op.index)]


class Score(nn.Module):
    """Two scores whose product is the output."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, x):
        return torch.sigmoid(self.a(x)) * torch.sigmoid(self.b(x))


class Swish(nn.Module):
    """An activation written out."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        h = self.a(x)
        return self.b(h * torch.sigmoid(h))


def test_gates_of_every_entry_are_neither_attention_nor_activations_nor_scores():
    assert elementwise(Squeeze(), torch.randn(4, 3, 8, 8)) == ["sigmoid"]
    assert elementwise(Attend(), torch.randn(4, 5, 8)) == []
    assert elementwise(Score(), torch.randn(4, 8)) == []
    assert elementwise(Swish(), torch.randn(4, 8)) == []
    gates = elementwise(Cell(), torch.randn(4, 8))
    assert gates.count("sigmoid") == 3
