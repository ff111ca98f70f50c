import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure.uses import added, before, feeding, live_inputs, place_of, readings, weight_use


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm, self.skip = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8)

    def forward(self, x):
        return F.relu(self.skip(x) + self.norm(self.fc(x)))


def seen():
    return trace(Block(), torch.randn(16, 8))


def named(record, name):
    return next(operation for operation in record.operations if operation.name == name)


def test_weight_use_is_the_weight_not_the_bias():
    use = weight_use(named(seen(), "linear"))
    assert (use.parameter, use.slot) == ("skip.weight", "weight")
    assert weight_use(named(seen(), "relu")) is None


def test_readings_list_every_parameter():
    found = readings(seen())
    assert {name: len(uses) for name, uses in found.items()} == {
        "fc.weight": 1,
        "fc.bias": 1,
        "norm.weight": 1,
        "norm.bias": 1,
        "skip.weight": 1,
        "skip.bias": 1,
    }


def test_feeding_follows_the_later_branch_down_to_its_weight():
    record = seen()
    assert feeding(record, named(record, "relu")) == ("fc.weight", "fc.bias", "norm.weight", "norm.bias")
    assert feeding(record, named(record, "linear")) == ("skip.weight", "skip.bias")


def test_before_stops_at_sums_and_sources():
    record = seen()
    assert before(record, named(record, "relu")) is named(record, "add")
    assert before(record, named(record, "add")) is None
    assert before(record, named(record, "input")) is None
    assert len(live_inputs(record, named(record, "add"))) == 2


def test_place_is_never_empty():
    record = trace(nn.Sequential(nn.ReLU(), nn.Linear(8, 4)), torch.randn(16, 8))
    assert place_of(record, named(record, "relu")) == ("0",)
    assert place_of(record, named(record, "linear")) == ("1.weight", "1.bias")


class Added(nn.Module):
    """One table is added to scores, one multiplies the values."""

    def __init__(self) -> None:
        super().__init__()
        self.biases, self.scales = nn.Parameter(torch.zeros(5, 5)), nn.Parameter(torch.ones(5, 4))
        self.line = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.line(x)
        return (h @ h.transpose(1, 2) + self.biases.flatten().view(5, 5)).softmax(-1) @ (h * self.scales)


def test_tables_that_are_only_added_are_told_from_those_that_multiply() -> None:
    assert added(trace(Added(), torch.randn(3, 5, 4))) == {"biases"}
