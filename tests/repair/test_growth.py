"""Roles and ratios told from two Traces of one model at two widths."""

import pytest
import torch
from torch import nn

from stepzero.core.errors import TargetError
from stepzero.probe.capture import capture
from stepzero.probe.subject import subject_of
from stepzero.repair.growth import Growth, growth


def grown(make, batch, wide=32, narrow=8):
    return growth(*(capture(subject_of(make(width), batch)) for width in (wide, narrow)))


def test_a_perceptron_has_all_four_roles():
    def make(width):
        return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))

    assert grown(make, torch.randn(4, 5)) == {
        "0.weight": Growth("input", 1, 4),
        "0.bias": Growth("vector", 1, 4),
        "2.weight": Growth("hidden", 4, 4),
        "2.bias": Growth("vector", 1, 4),
        "4.weight": Growth("readout", 4, 1),
        "4.bias": Growth("vector", 1, 1),
    }


def test_convolutions_and_norms():
    def make(width):
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 2 * width, 3))

    found = grown(make, torch.randn(2, 3, 8, 8))
    assert found["0.weight"] == Growth("input", 1, 4)
    assert found["1.weight"] == Growth("vector", 1, 4)
    assert found["3.weight"] == Growth("hidden", 4, 4)


def test_transposed_layouts_are_told_by_what_is_summed_over():
    class Transposed(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.first = nn.Parameter(torch.randn(5, width))
            self.last = nn.Parameter(torch.randn(width, 3))

        def forward(self, x):
            return (x @ self.first).relu() @ self.last

    assert grown(Transposed, torch.randn(4, 5)) == {
        "first": Growth("input", 1, 4),
        "last": Growth("readout", 4, 1),
    }


def test_a_tied_table_is_an_input_that_is_read_out():
    class Tied(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.table = nn.Embedding(11, width)

        def forward(self, tokens):
            return self.table(tokens).tanh() @ self.table.weight.T

    each = grown(Tied, torch.randint(11, (2, 3)))["table.weight"]
    assert (each.role, each.is_tied, each.width) == ("input", True, 4)


def test_one_width_changes_nothing():
    found = grown(lambda width: nn.Sequential(nn.Linear(5, width), nn.Linear(width, 3)), torch.randn(4, 5), 8, 8)
    assert {(each.fan_in, each.fan_out) for each in found.values()} == {(1, 1)}


def test_another_model_is_refused():
    wide, narrow = nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 3)), nn.Sequential(nn.Linear(5, 3))
    x = torch.randn(4, 5)
    with pytest.raises(TargetError, match=r"a difference in 1\.bias, 1\.weight"):
        growth(capture(subject_of(wide, x)), capture(subject_of(narrow, x)))


def test_another_use_is_refused():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(5, 5))

        def forward(self, x):
            return x @ self.w

    class Other(One):
        def forward(self, x):
            return x + self.w[:4]

    x = torch.randn(4, 5)
    with pytest.raises(TargetError, match="w is used in another way"):
        growth(capture(subject_of(One(), x)), capture(subject_of(Other(), x)))
