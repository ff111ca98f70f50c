"""What changes when slices are drawn anew: asked of many at once, and of halves where that changes something."""

import torch
from torch import nn

from stepzero.measure.control import Law
from stepzero.probe.redrawn import Redrawn, at_slices, distance, role_of
from stepzero.probe.replica import Replica
from stepzero.probe.subject import subject_of
from tests.probe.observing import Net
from tests.probe.planting import X, square

LAWS = {"a.weight": Law(0.0, 0.4), "b.weight": Law(0.0, 0.4), "c.weight": Law(0.0, 0.4), "norm.weight": Law(1.0, 0.0)}


def redrawn():
    torch.manual_seed(0)
    model = Net(
        lambda self, x: self.a(x) + 0 * (self.b(x) + self.c(x)),
        **{name: nn.Linear(6, 3, bias=False) for name in "abc"},
    )
    return Redrawn(Replica(subject_of(model, X, square)), LAWS, seed=0, same=1e-9)


def test_what_changes_nothing_is_told_from_what_does():
    found = redrawn()
    assert found.change_nothing(["b.weight", "c.weight"])
    assert not found.change_nothing(["a.weight", "b.weight", "c.weight"], ask_all=True)
    assert found.change_by("a.weight") > 1e-3
    assert found.change_by("b.weight") == found.change_by("c.weight") == 0.0


def test_the_copy_is_at_its_start_afterwards():
    found = redrawn()
    before = found.replica.state()
    found.change_nothing(["a.weight", "b.weight"])
    assert all(torch.equal(value, before[name]) for name, value in found.replica.state().items())


def test_a_gain_keeps_its_sign():
    """What a norm takes off is the size of a factor: a change of sign would tell of nothing that a step does."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 64), nn.LayerNorm(64), nn.Linear(64, 3))
    found = Redrawn(Replica(subject_of(model, X, square)), {"1.weight": Law(1.0, 0.0)}, seed=0, same=1e-9)
    moved = found.moved("1.weight")
    assert bool((moved > 0).all())
    assert not torch.equal(moved, found.replica.start_of("1.weight"))


def test_only_the_slices_named_move():
    value, noise = torch.ones(4, 3), torch.ones(4, 3)
    moved = at_slices(torch.tensor([True, False, False, True]), value, noise)
    assert (moved != value).any(1).tolist() == [True, False, False, True]
    assert float(at_slices(torch.tensor([True]), torch.tensor(2.0), torch.tensor(1.0))) == 4.0


def test_roles_and_distances():
    assert role_of("layers.3.mlp.0.weight") == role_of("layers.11.mlp.2.weight") != role_of("layers.3.norm.weight")
    assert distance(torch.tensor([2.0, 1.0]), torch.tensor([2.0, 2.0])) == 0.5
    assert distance(torch.zeros(2), torch.zeros(3)) == float("inf")
