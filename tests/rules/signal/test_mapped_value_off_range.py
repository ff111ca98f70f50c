"""A raw value on the flat side of its map, and raw values that are where they should be."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.probe.observing import Net
from tests.rules.ask import ask, severities

X = torch.randn(32, 16)


def mapped(apply, value):
    raw = value if isinstance(value, torch.Tensor) else torch.full((16,), value)
    return Net(lambda self, x: x + apply(self.raw) * self.fc(x), raw=nn.Parameter(raw), fc=nn.Linear(16, 16))


@pytest.mark.parametrize(
    ("apply", "value"), [(torch.sigmoid, -12.0), (torch.sigmoid, 12.0), (torch.tanh, 6.0), (F.softplus, -11.0)]
)
def test_a_flat_side_is_named_with_its_map(apply, value):
    (finding,) = ask("SZ319", mapped(apply, value), X)
    assert (finding.severity, finding.where, finding.cause) == ("warning", ("raw",), "wrong-map")
    assert apply.__name__ in finding.message


@pytest.mark.parametrize(
    ("apply", "value"),
    [
        (torch.sigmoid, -6.0),
        (torch.tanh, 0.0),
        (F.softplus, -7.0),  # a small deviation, as Bayesian layers start
        (F.softplus, 20.0),
        (torch.exp, -12.0),  # no flat side
        (F.softplus, torch.linspace(-11.0, 0.0, 16)),  # step sizes over four decades
    ],
)
def test_other_starts_are_silent(apply, value):
    assert severities("SZ319", mapped(apply, value), X) == []


def test_a_map_of_a_signal_is_an_activation():
    model = Net(lambda self, x: torch.sigmoid(self.fc(x) + self.raw), raw=nn.Parameter(torch.full((8,), -12.0)))
    model.fc = nn.Linear(16, 8)
    assert severities("SZ319", model, X) == []


def test_a_frozen_value_and_one_that_is_also_read_as_it_is_are_silent():
    model = mapped(torch.sigmoid, -12.0)
    model.raw.requires_grad_(False)
    assert severities("SZ319", model, X) == []
    both = Net(
        lambda self, x: self.fc(x) * torch.sigmoid(self.raw) + self.raw, raw=nn.Parameter(torch.full((8,), -12.0))
    )
    both.fc = nn.Linear(16, 8)
    assert severities("SZ319", both, X) == []
