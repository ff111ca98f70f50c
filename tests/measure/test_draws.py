"""Tensors from one generator state are found whatever their shape and scale; regular numbers are no draw."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stepzero.api import trace
from stepzero.measure.draws import looks_drawn, same_beginning


def facts(*tensors):
    class Holds(nn.Module):
        def __init__(self):
            super().__init__()
            for place, tensor in enumerate(tensors):
                self.register_parameter(f"p{place}", nn.Parameter(tensor))

        def forward(self, x):
            return sum((each.sum() for each in self.parameters()), x.sum())

    return trace(Holds(), torch.ones(1)).parameters


def drawn(seed, *shape, uniform=False):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator) - 0.5 if uniform else torch.randn(*shape, generator=generator)


@settings(max_examples=30)
@given(
    rows=st.lists(st.integers(8, 40), min_size=2, max_size=3),
    scales=st.lists(st.floats(1e-4, 1e3), min_size=3, max_size=3),
    uniform=st.booleans(),
    seed=st.integers(0, 999),
)
def test_one_state_is_found_behind_other_shapes_and_scales(rows, scales, uniform, seed):
    tensors = [s * drawn(seed, n, 16, uniform=uniform) for n, s in zip(rows, scales, strict=False)]
    (group,) = same_beginning(facts(*tensors, drawn(seed + 1, 8, 16)))
    assert [fact.name for fact in group] == [f"p{place}" for place in range(len(rows))]


def test_independent_draws_never_agree():
    assert list(same_beginning(facts(*(drawn(seed, 8, 8) for seed in range(200))))) == []


def test_a_negative_is_no_copy():
    assert list(same_beginning(facts(drawn(0, 8, 8), -drawn(0, 9, 8)))) == []


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(8, 8),
        torch.eye(8),
        torch.arange(64.0).view(8, 8),
        torch.log(torch.arange(1.0, 65.0)).view(8, 8),
        torch.tensor([[1.0, 2.0, 1.0, 0.0]]).repeat(16, 1),
        torch.sin(torch.arange(64.0) / 8).view(8, 8),
    ],
    ids=["zeros", "identity", "ramp", "log ramp", "kernel", "slow wave"],
)
def test_regular_numbers_are_no_draw(tensor):
    (fact,) = facts(tensor)
    assert not looks_drawn(fact)


def test_few_elements_have_no_beginning():
    assert not looks_drawn(facts(drawn(0, 4, 4))[0])
