"""Joined fingerprints, the quick look that clears a sound network, and equal content."""

import copy

import pytest
import torch
from torch import nn

from stepzero.probe.fingerprints import UnitRecorder
from stepzero.probe.prints import all_different, prints_of, siblings
from stepzero.probe.replica import Replica
from stepzero.probe.subject import subject_of
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, copied, square, stack


def replica(model, batch=X):
    return Replica(subject_of(model, batch, square))


def visited(model, batch=X):
    made = replica(model, batch)
    recorder = UnitRecorder(made.model)
    with recorder.paths():
        made.run(0, watch=recorder)
    return recorder.rows()


def printed(model, batch=X, largest=1.0):
    return {name: prints_of(visits, largest, 0) for name, visits in visited(model, batch).items()}


def test_every_visit_adds_projections_and_a_key():
    model = Net(lambda self, x: self.a(torch.tanh(self.a(x))), a=nn.Linear(6, 6))
    found = printed(model)["a.weight"]
    assert found.key == (len(X), len(X))
    assert found.forward.shape == found.backward.shape == (6, sum(visit.forward.shape[1] for visit in found.visits))


def test_a_unit_is_live_when_more_than_rounding_arrives():
    model = stack(6, 8, 3)
    model[2].weight.data[:, 3] = 0.0
    assert printed(model)["0.weight"].live.tolist() == [unit != 3 for unit in range(8)]
    assert not bool(printed(model, largest=1e15)["0.weight"].live.any())


def test_a_unit_without_a_row_does_not_vary():
    model = stack(6, 8, 3)
    model[0].weight.data[3] = 0.0
    assert printed(model)["0.weight"].varies.tolist() == [unit != 3 for unit in range(8)]


def test_what_is_not_finite_cannot_be_compared():
    model = stack(6, 8, 3)
    model[0].weight.data[3, 0] = float("nan")
    assert printed(model)["0.weight"] is None


def test_a_sound_network_is_cleared_by_one_forward():
    widths = all_different(visited(stack(6, 8, 3)), 1e-6)
    found = {width.parameter: (width.units, width.distinct) for width in widths}
    assert found == {"0.weight": (8, 8), "2.weight": (3, 3)}


@pytest.mark.parametrize("factor", [1.0, -1.0, 3.0])
def test_a_copy_or_multiple_is_not(factor):
    assert all_different(visited(copied(stack(6, 8, 3), 0, 1, 4, factor)), 1e-6) == ()


def test_copies_in_two_weights_are_seen():
    layer = nn.Linear(6, 4)
    model = Net(lambda self, x: self.a(x) + 2 * self.b(x), a=layer, b=copy.deepcopy(layer))
    assert all_different(visited(model), 1e-6) == ()


def test_siblings_are_equal_draws_and_no_patterns():
    draw, eye, ties = seeded(6, 6), torch.eye(6), torch.full((6, 6), 0.3)
    for weight, expected in ((draw, 1), (eye, 0), (ties, 0)):
        layers = [nn.Linear(6, 6, bias=False) for _ in range(2)]
        for layer in layers:
            layer.weight.data.copy_(weight)
        layers[1].requires_grad_(False)
        found = list(siblings(replica(nn.Sequential(layers[0], nn.Tanh(), layers[1]))))
        assert len(found) == expected
        assert all(each.is_frozen and each.parameters == ("0.weight", "2.weight") for each in found)


def test_equal_complex_weights_are_siblings():
    weight = torch.randn(4, 5, dtype=torch.complex64)
    model = Net(
        lambda self, x: (torch.fft.rfft(x) @ self.a).abs() + (torch.fft.rfft(x) @ self.b).abs(),
        a=weight,
        b=weight.clone(),
    )
    (found,) = siblings(Replica(subject_of(model, X, square)))
    assert found.parameters == ("a", "b")
