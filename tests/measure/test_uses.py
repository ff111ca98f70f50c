import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure.uses import before, feeding, live_inputs, place_of, readings, weight_use


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
