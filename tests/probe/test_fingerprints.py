"""Fingerprints are linear in responses and gradients, one per unit, comparable between layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.measure.redundancy import PROJECTIONS, projector
from stepzero.probe.fingerprints import UnitRecorder
from stepzero.probe.replica import Replica
from stepzero.probe.subject import subject_of
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, responses, square, stack


def printed(model, batch=X, loss=square):
    """Visits by weight, of the true batch."""
    replica = Replica(subject_of(model, batch, loss))
    recorder = UnitRecorder(replica.model)
    with recorder.paths():
        replica.run(0, watch=recorder)
    return recorder.rows()


def test_a_fingerprint_is_a_projection_of_the_responses():
    model = stack(6, 8, 3)
    visits = printed(model)
    assert set(visits) == {"0.weight", "2.weight"}
    for name, place in (("0.weight", "0"), ("2.weight", "2")):
        (visit,) = visits[name]
        answers = responses(model, place, X)
        expected = answers @ projector(len(X)).T / len(X) ** 0.5
        torch.testing.assert_close(visit.forward, expected)
        assert (visit.positions, visit.forward.dtype) == (len(X), torch.float64)
        assert visit.backward.shape == visit.forward.shape == (answers.shape[0], PROJECTIONS)


def test_the_backward_one_is_the_same_projection_of_the_gradient_that_arrives():
    model = nn.Sequential(*stack(6, 8, 3))
    replica = Replica(subject_of(model, X, square))
    arrived = []
    handle = replica.model[0].register_forward_hook(
        lambda _m, _i, output: output.register_hook(arrived.append) and None
    )
    recorder = UnitRecorder(replica.model)
    with recorder.paths():
        replica.run(0, watch=recorder)
    handle.remove()
    expected = arrived[0].T @ projector(len(X)).T / len(X) ** 0.5
    torch.testing.assert_close(recorder.rows()["0.weight"][0].backward, expected)


def test_layers_that_read_and_compute_the_same_have_the_same_fingerprints():
    layer = nn.Linear(6, 4)
    other = nn.Linear(6, 4)
    other.load_state_dict(layer.state_dict())
    visits = printed(Net(lambda self, x: self.a(x) + self.b(x), a=layer, b=other))
    assert torch.equal(visits["a.weight"][0].forward, visits["b.weight"][0].forward)
    assert torch.equal(visits["a.weight"][0].backward, visits["b.weight"][0].backward)


def test_channels_are_read_at_every_position():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 2))
    batch = seeded(5, 3, 5, 5)
    visit = printed(model, batch)["0.weight"][0]
    assert (visit.forward.shape[0], visit.positions) == (4, 5 * 9)
    answers = responses(model, "0", batch)
    torch.testing.assert_close(visit.forward, answers @ projector(45).T / 45**0.5)


def test_every_call_of_a_reused_module_is_a_visit():
    def forward(self, x):
        return self.again(torch.tanh(self.again(x)))

    visits = printed(Net(forward, again=nn.Linear(6, 6)))
    assert len(visits["again.weight"]) == 2
    first, second = visits["again.weight"]
    assert not torch.equal(first.forward, second.forward)


def test_no_gradient_arrives_where_nothing_leads_to_the_output():
    def forward(self, x):
        self.idle(x)
        return self.b(x)

    visits = printed(Net(forward, idle=nn.Linear(6, 4), b=nn.Linear(6, 3)))
    assert visits["idle.weight"][0].backward is None
    assert visits["b.weight"][0].backward is not None


@pytest.mark.parametrize("kind", ["einsum", "bmm"])
def test_experts_stand_one_after_another(kind):
    def forward(self, x):
        if kind == "bmm":
            return torch.bmm(x.expand(3, -1, -1), self.w)
        return torch.einsum("bi,eio->beo", x, self.w)

    weight = seeded(3, 6, 2)
    (visit,) = printed(Net(forward, w=weight))["w"]
    answers = torch.einsum("bi,eio->eob", X.double(), weight.double()).reshape(6, -1)
    torch.testing.assert_close(visit.forward, answers @ projector(len(X)).T / len(X) ** 0.5)


def test_what_is_no_weight_is_not_printed():
    def forward(self, x):
        return F.layer_norm(x, (6,), self.gain) * self.scale + self.shift

    assert printed(Net(forward, gain=torch.ones(6), scale=torch.ones(6), shift=torch.zeros(6))) == {}
