"""Equal content: side by side, one behind another, tied, frozen."""

import copy

import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure import siblings
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, square, stack


def seen(model, batch=X):
    return trace(model, batch, square, probes=["symmetry"])


def twice(model, *, frozen=False):
    """The model and a deep copy of it, each times its own number, so that their gradients differ."""
    other = copy.deepcopy(model)
    if frozen:
        other.requires_grad_(False)
    return Net(lambda self, x: self.one(x) + 0.5 * self.two(x), one=model, two=other)


def test_copies_that_read_one_input_stand_side_by_side():
    found = list(siblings.side_by_side(seen(twice(nn.Linear(6, 3)))))
    assert found == [("one.weight", "two.weight")]
    assert list(siblings.in_series(seen(twice(nn.Linear(6, 3))))) == []


def test_a_frozen_copy_is_no_sibling():
    assert list(siblings.side_by_side(seen(twice(nn.Linear(6, 3), frozen=True)))) == []


def test_copies_in_series_read_different_inputs():
    layer = nn.Linear(6, 6)
    trace_of = seen(nn.Sequential(layer, nn.Tanh(), copy.deepcopy(layer), nn.Tanh(), copy.deepcopy(layer)))
    assert list(siblings.in_series(trace_of)) == [("0.weight", "2.weight", "4.weight")]
    assert list(siblings.side_by_side(trace_of)) == []


def test_one_tensor_used_twice_is_one():
    layer = nn.Linear(6, 6)
    trace_of = seen(nn.Sequential(layer, nn.Tanh(), layer))
    assert list(siblings.in_series(trace_of)) == list(siblings.side_by_side(trace_of)) == []


def test_only_those_of_a_group_that_share_an_input_are_side_by_side():
    layer = nn.Linear(6, 6)
    parts = {"one": layer, "two": copy.deepcopy(layer), "three": copy.deepcopy(layer)}
    model = Net(lambda self, x: self.three(torch.tanh(self.one(x) + 0.5 * self.two(x))), **parts)
    assert list(siblings.side_by_side(seen(model))) == [("one.weight", "two.weight")]


def test_looked_up_tables_norms_and_constants_are_no_layers():
    def forward(self, ids):
        h = self.one(ids) + 2 * self.two(ids)
        return self.up(self.norm(h)) + self.down(self.other(h))

    table = nn.Embedding(9, 6)
    layers = {"up": nn.Linear(6, 3), "down": nn.Linear(6, 3), "norm": nn.LayerNorm(6), "other": nn.LayerNorm(6)}
    model = Net(forward, one=table, two=copy.deepcopy(table), **layers)
    for layer in (model.up, model.down):
        nn.init.constant_(layer.weight, 0.1)
    found = seen(model, torch.arange(8))
    assert list(siblings.side_by_side(found)) == list(siblings.in_series(found)) == []


def test_groups_of_weights_are_collected_by_the_modules_they_tell_apart():
    found = siblings.modules(
        [
            ("shards.0.up.weight", "shards.1.up.weight"),
            ("shards.0.down.weight", "shards.1.down.weight"),
            ("a.w", "b.w", "c.w"),
        ]
    )
    assert found == {
        ("shards.0", "shards.1"): (
            "shards.0.up.weight",
            "shards.1.up.weight",
            "shards.0.down.weight",
            "shards.1.down.weight",
        ),
        ("a", "b", "c"): ("a.w", "b.w", "c.w"),
    }


def test_modules_of_a_real_pair():
    trace_of = seen(twice(stack(6, 8, 3)))
    assert list(siblings.modules(siblings.side_by_side(trace_of))) == [("one", "two")]


def test_seeded_alike_is_content_alike():
    def layer():
        made = nn.Linear(6, 6, bias=False)
        made.weight.data = seeded(6, 6, seed=4)
        return made

    assert list(siblings.in_series(seen(nn.Sequential(layer(), nn.Tanh(), layer())))) == [("0.weight", "2.weight")]
