"""Zeros are told apart before anything is written: those that wake are meant, those that never do are not."""

import pytest
import torch
from torch import nn

from stepzero.probe.subject import subject_of
from stepzero.repair.observe import forward, observe
from tests.repair.judging import bits, same

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))


class Gated(nn.Module):
    """``x + gate(x) * up(x)``; the gate's layer starts at zero, and ``up`` has no gradient before it has moved."""

    def __init__(self, zero):
        super().__init__()
        self.gate, self.up, self.head = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False), nn.Linear(8, 3)
        for name in zero:
            nn.init.zeros_(getattr(self, name).weight)

    def forward(self, x):
        return self.head(x + self.gate(x) * self.up(x))


@pytest.mark.parametrize(
    ("zero", "meant"),
    [
        ((), set()),
        (("gate",), {"gate.weight"}),
        (("up",), {"up.weight"}),
        (("gate", "up"), set()),  # a product of two zeros never moves
        (("head",), {"head.weight"}),
    ],
)
def test_zeros_that_wake_are_meant(zero, meant):
    torch.manual_seed(0)
    _, accepted = observe(subject_of(Gated(zero), X, "cross_entropy", torch.arange(32) % 3))
    assert {name for each in accepted for name in each.where if "weight" in name} == meant


def test_nothing_is_written():
    model = Gated(("gate", "up"))
    saved = bits(model)
    observe(subject_of(model, X, "cross_entropy", torch.arange(32) % 3))
    assert same(model, saved)


def test_a_forward_repeats_its_draws_and_leaves_the_random_state():
    subject = subject_of(nn.Sequential(nn.Linear(8, 8), nn.Dropout()), X, seed=3)
    state = torch.get_rng_state()
    assert torch.equal(forward(subject), forward(subject))
    assert torch.equal(torch.get_rng_state(), state)
