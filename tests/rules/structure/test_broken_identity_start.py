import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(16, 32, generator=generator(1))


class Block(nn.Module):
    def __init__(self, is_zero, kind="last"):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)
        self.gate, self.kind = nn.Parameter(torch.zeros(32) if is_zero else torch.ones(32)), kind
        self.modulation = nn.Linear(32, 32)
        for layer, name in ((self.down, "last"), (self.modulation, "modulated")):
            if is_zero and kind == name:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x):
        y = self.down(torch.relu(self.up(self.norm(x))))
        if self.kind == "gate":
            y = self.gate * y
        if self.kind == "modulated":
            y = self.modulation(torch.cos(x)) * y
        return x + y


def stack(zeros, kind="last"):
    torch.manual_seed(0)
    return nn.Sequential(*(Block(bool(zero), kind) for zero in zeros), nn.Linear(32, 4))


@pytest.mark.parametrize("kind", ["last", "gate"])
def test_the_branch_that_was_left_out_is_named(kind):
    (finding,) = ask("SZ707", stack([1, 1, 1, 0, 1, 1], kind), X)
    assert finding.severity == "info"
    assert all(place.startswith("3.") for place in finding.where)


def test_its_number_is_what_the_branch_adds():
    model = stack([1, 0, 1, 1])
    (finding,) = ask("SZ707", model, X)
    with torch.no_grad():
        x = model[0](X)
        assert finding.value == pytest.approx(float((model[1](x) - x).square().mean().sqrt()), rel=0.1)


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["last", "gate", "modulated"])
def test_all_or_none_are_silent(kind):
    assert severities("SZ707", stack([1] * 6, kind), X) == []
    assert severities("SZ707", stack([0] * 6, kind), X) == []


def test_a_minority_declares_nothing():
    assert severities("SZ707", stack([1, 0, 0, 0, 1, 1]), X) == []
    assert severities("SZ707", stack([1, 1, 0]), X) == []
