"""The symmetry probe works on a copy: the model stays as it is, and models that refuse give a reason."""

import pytest
import torch
from torch import nn

from stepzero.probe.build import build
from stepzero.probe.subject import subject_of
from stepzero.probe.symmetry import symmetry
from tests.probe.models import CASES
from tests.probe.observing import Net
from tests.probe.planting import (
    X,
    copied,
    found,
    square,
    stack,
    units,
)
from tests.probe.ways import convolution, long_memory, weight_norm


def bits(model):
    return {name: (tensor.detach().clone(), tensor.grad) for name, tensor in model.state_dict(keep_vars=True).items()}


@pytest.mark.parametrize("way", [convolution, long_memory, weight_norm])
def test_the_model_is_bit_identical_afterwards(way):
    model, batch, _ = way()
    before, modes = bits(model), [module.training for module in model.modules()]
    state = torch.get_rng_state()
    found(model, batch)
    assert all(
        torch.equal(tensor, before[name][0]) and tensor.grad is before[name][1]
        for name, (tensor, _) in bits(model).items()
    )
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32


class Uncopyable(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.running = copied(stack(6, 8, 8, 3), 0, 1, 4), (each for each in "ab")

    def forward(self, x):
        return self.net(x)


def test_a_model_that_cannot_be_copied_says_so():
    fact = symmetry(subject_of(Uncopyable(), X, square))
    assert not fact.ran
    assert "cannot be copied" in fact.reason
    assert "factory" in fact.reason


def test_a_factory_stands_in_for_the_copy_and_brings_the_values_that_are_checked():
    subject = build(Uncopyable, X, square, None, name="", seed=0)
    assert units(symmetry(subject).blocks, "net.0.weight") == [(1, 4)]
    with torch.no_grad():
        subject.model.net[0].weight[4].add_(0.5)
    assert symmetry(subject).blocks == ()


def test_a_model_that_casts_inside_runs_in_float64_throughout():
    def forward(self, x):
        hidden = torch.tanh(self.a(x.float())).to(torch.float32)
        return self.b(hidden.half().float().type_as(x)) + x.new_zeros(1, dtype=torch.float32)

    model = Net(forward, a=nn.Linear(6, 8), b=nn.Linear(8, 3))
    fact = found(model)
    assert fact.blocks == ()
    with torch.no_grad():
        for each in (model.a.weight, model.a.bias):
            each[5] = each[1]
        model.b.weight[:, 5] = model.b.weight[:, 1]
    assert units(found(model).blocks, "a.weight") == [(1, 5)]


def test_a_model_that_fails_in_float64_gives_a_reason_of_one_line():
    def forward(self, x):
        hidden = self.a(x)
        if hidden.dtype == torch.float64:
            raise TypeError("only float32\nis spoken here")
        return hidden

    fact = symmetry(subject_of(Net(forward, a=nn.Linear(6, 8)), X, square))
    assert not fact.ran
    assert fact.blocks == fact.widths == ()
    assert "TypeError: only float32 is spoken here" in fact.reason


@pytest.mark.parametrize("name", CASES)
def test_no_case_of_the_zoo_of_forwards_has_copies(name):
    model, batch, loss = CASES[name]()
    fact = symmetry(subject_of(model, batch, loss))
    assert fact.ran, fact.reason
    assert fact.blocks == ()
