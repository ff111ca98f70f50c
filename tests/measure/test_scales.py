"""One number is told from a vector, a square and a learnt scale."""

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.measure.scales import constant_factor

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))


class Scaled(nn.Module):
    """A function between two layers."""

    def __init__(self, function):
        super().__init__()
        self.first, self.last, self.learnt = nn.Linear(8, 16), nn.Linear(16, 3), nn.Parameter(torch.tensor(0.5))
        self.register_buffer("fixed", torch.tensor(0.5))
        self.function = function

    def forward(self, x):
        return self.last(self.function(self, torch.relu(self.first(x))))


def factor_of(function):
    seen = sz.trace(Scaled(function), X, lambda output: output.square().mean())
    place = next(operation for operation in seen.operations if operation.name == "relu").index + 1
    return constant_factor(seen, seen.operations[place])


@pytest.mark.parametrize(
    ("function", "factor"),
    [
        (lambda _, h: 0.5 * h, 0.5),
        (lambda _, h: h / 4, 0.25),
        (lambda _, h: h * -2, 2.0),
        (lambda m, h: h * m.fixed, 0.5),
    ],
)
def test_one_number(function, factor):
    assert factor_of(function) == pytest.approx(factor, rel=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, h: h * m.learnt,
        lambda _, h: h * h,
        lambda _, h: h * torch.linspace(1, 2, 16),
        lambda _, h: h * 0,
        lambda _, h: h + 1,
        lambda _, h: torch.tanh(h),
    ],
)
def test_everything_else(function):
    assert factor_of(function) is None
