"""Which units are heads, told by the shapes of the attention that reads them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.core.symmetry import Member, UnitBlock
from stepzero.measure.attention_heads import head_groups, head_widths
from tests.probe.observing import Net, seeded
from tests.probe.planting import square

X = seeded(2, 5, 12)


def attends(width, heads, *, written_out=False, bias=True):
    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if written_out:
            mixed = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        return self.o(mixed.transpose(1, 2).flatten(2))

    return Net(forward, **{name: nn.Linear(width, width, bias=bias) for name in "qkvo"})


@pytest.mark.parametrize("written_out", [False, True])
@pytest.mark.parametrize("heads", [2, 3, 6])
def test_the_width_of_a_head(heads, written_out):
    seen = trace(attends(12, heads, written_out=written_out), X, square)
    assert [head_widths(seen, f"{name}.weight") for name in "qkv"] == [[12 // heads]] * 3
    assert head_widths(seen, "o.weight") == []


def test_one_head_and_no_attention_have_none():
    assert head_widths(trace(attends(12, 1), X, square), "q.weight") == []
    assert head_widths(trace(nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)), X, square), "0.weight") == []


def test_heads_of_a_packed_attention():
    attention = nn.MultiheadAttention(12, 4, batch_first=True)
    model = Net(lambda self, x: self.a(x, x, x, need_weights=False)[0], a=attention)
    assert head_widths(trace(model, X, square), "a.in_proj_weight") == [12, 3]  # whole q, k and v; heads in them


def test_grouped_queries():
    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (-1, 3)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return self.o(mixed.transpose(1, 2).flatten(2))

    model = Net(forward, q=nn.Linear(12, 12), k=nn.Linear(12, 6), v=nn.Linear(12, 6), o=nn.Linear(12, 12))
    assert head_widths(trace(model, X, square), "q.weight") == [3]


def pairs(*groups):
    return [UnitBlock("twins", (Member("q.weight", group),), 0.0) for group in groups]


@pytest.fixture(scope="module")
def seen():
    torch.manual_seed(0)
    return trace(attends(12, 4), X, square)


@pytest.mark.parametrize(
    ("groups", "whole"),
    [
        ([(0, 6), (1, 7), (2, 8)], True),  # heads 0 and 2
        ([(0, 3, 6, 9), (1, 4, 7, 10), (2, 5, 8, 11)], True),  # all four
        ([(0, 6), (1, 7)], False),  # two of three units
        ([(0, 7), (1, 8), (2, 6)], False),  # other places of the head
        ([(0, 1), (2, 3)], False),  # inside a head
    ],
)
def test_heads_are_one_when_every_unit_has_its_copy_at_the_same_place(seen, groups, whole):
    assert bool(head_groups(seen, "q.weight", pairs(*groups))) == whole


def test_groups_of_heads_are_listed_once(seen):
    assert head_groups(seen, "q.weight", pairs((0, 6), (1, 7), (2, 8))) == [(0, 2)]
    assert head_groups(seen, "q.weight", pairs((0, 6), (1, 7), (2, 8), (3, 9), (4, 10), (5, 11))) == [(0, 2), (1, 3)]
