import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.core.graph import Graph
from stepzero.measure.inputs import first_layers, positions, spread_of_channels


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(x / 255.0)


class Joined(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.rnn = nn.Linear(16, 4), nn.GRU(8, 4, batch_first=True)

    def forward(self, x, y):
        return self.fc(torch.cat([x, y], -1)), self.rnn(x[:, None])[0]


def layers(model, batch, argument):
    graph = Graph(trace(model, batch))
    return [operation.name for operation in first_layers(graph, argument)]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(8, 4)), ["linear"]),
        (nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 4)), []),
        (Scaled(), []),
    ],
)
def test_only_what_reads_it_as_it_is(model, expected):
    assert layers(model, torch.randn(16, 8), "x" if isinstance(model, Scaled) else "input") == expected


def test_joins_and_recurrent_layers_count():
    batch = torch.randn(16, 8), torch.randn(16, 8)
    assert layers(Joined(), batch, "x") == ["linear", "gru"]
    assert layers(Joined(), batch, "y") == ["linear"]
    assert layers(Joined(), batch, "nothing") == []


@pytest.mark.parametrize(("shape", "count"), [((16, 8), 16), ((4, 3, 32, 32), 32), ((2, 8), 2)])
def test_positions_behind_a_channel(shape, count):
    (fact,) = trace(nn.Flatten(), torch.randn(shape)).inputs
    assert positions(fact) == count


def test_ids_have_no_channels():
    (fact,) = trace(nn.Embedding(9, 4), torch.randint(0, 9, (16, 5))).inputs
    assert positions(fact) == 0


def test_spread_gives_way_by_its_standard_errors():
    torch.manual_seed(0)
    (fact,) = trace(nn.Flatten(), 5.0 + torch.randn(32, 200)).inputs
    exact, sure = spread_of_channels(fact, 0.0), spread_of_channels(fact, 3.0)
    assert exact.offset > 5.0 > sure.offset
    assert exact.largest > 1.2 > 1.0 > sure.largest
    assert sure.typical > 1.0
    (constant,) = trace(nn.Flatten(), torch.full((32, 4), 3.0)).inputs
    assert spread_of_channels(constant, 3.0) is None
