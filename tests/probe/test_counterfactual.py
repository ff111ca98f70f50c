"""A copy in which some tensors are drawn by their law, and nothing else differs."""

import math

import pytest
import torch
from torch import nn

from stepzero.probe.capture import capture
from stepzero.probe.counterfactual import redrawn
from stepzero.probe.replica import ReplicaError
from stepzero.probe.subject import subject_of
from tests.probe.observing import Net
from tests.probe.planting import X, square, stack


def asked(model, *names, batch=X):
    subject = subject_of(model, batch, square)
    return subject, redrawn(subject, capture(subject), names)


def changed(model, other):
    before = dict(model.named_parameters())
    return {name for name, each in other.model.named_parameters() if not torch.equal(each, before[name])}


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["2.weight"], {"2.weight"}),
        (["2"], {"2.weight", "2.bias"}),
        (["0.weight", "4"], {"0.weight", "4.weight", "4.bias"}),
        (["", "2.weight"], {"2.weight"}),
    ],
)
def test_only_what_is_named_is_drawn(places, expected):
    model = stack(6, 8, 8, 3)
    subject, other = asked(model, *places)
    assert changed(model, other) == expected
    assert other.model is not model
    assert other.factory is None
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(subject.args, other.args, strict=True))


def test_weights_get_the_law_of_their_consumer_biases_zero_and_gains_one():
    model = nn.Sequential(nn.Linear(400, 500), nn.LayerNorm(500), nn.Linear(500, 600), nn.ReLU(), nn.Linear(600, 3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 7.0)
    _, other = asked(model, "0", "1", "2", batch=torch.randn(8, 400))
    drawn = dict(other.model.named_parameters())
    assert float(drawn["2.weight"].detach().std()) == pytest.approx(math.sqrt(2 / 500), rel=0.01)
    assert float(drawn["2.weight"].detach().mean()) == pytest.approx(0, abs=5e-4)
    assert float(drawn["0.weight"].detach().std()) == pytest.approx(math.sqrt(1 / 400), rel=0.01)
    assert not any(bool(drawn[name].any()) for name in ("0.bias", "1.bias", "2.bias"))
    assert bool((drawn["1.weight"] == 1).all())
    assert bool((drawn["4.weight"] == 7).all())


def test_a_draw_repeats_and_the_generator_of_the_process_is_left_alone():
    model = stack(6, 8, 3)
    state = torch.get_rng_state()
    one, two = (asked(model, "0.weight")[1].model[0].weight for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_model_keeps_its_values_dtype_and_flags():
    model = stack(6, 8, 3).to(torch.bfloat16)
    model[2].requires_grad_(False)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    _, other = asked(model, "0", "2", batch=X.to(torch.bfloat16))
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert {each.dtype for each in other.model.parameters()} == {torch.bfloat16}
    assert [each.requires_grad for each in other.model.parameters()] == [True, True, False, False]


def test_a_tied_weight_is_drawn_once_and_stays_tied():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False))
    model[1].weight = model[0].weight
    _, other = asked(model, "0.weight", batch=torch.arange(4))
    assert other.model[1].weight is other.model[0].weight
    assert changed(model, other) == {"0.weight"}


def test_the_copy_can_be_observed_like_any_model():
    model = stack(6, 8, 8, 3)
    nn.init.zeros_(model[2].weight)
    _, other = asked(model, "2.weight")
    assert not capture(other).parameter("2.weight").is_zero
    assert all(fact.gradient.norm > 0 for fact in capture(other).parameters)


@pytest.mark.parametrize("places", [[], [""], ["nowhere"], ["0.weigh"], ["idle"]])
def test_without_a_known_law_at_the_place_there_is_no_copy(places):
    model = Net(lambda self, x: self.fc(x), fc=nn.Linear(6, 3), idle=nn.Linear(2, 2))
    assert asked(model, *places)[1] is None


def test_a_model_that_cannot_be_copied_raises():
    model = stack(6, 3)
    model.running = (each for each in "ab")
    with pytest.raises(ReplicaError):
        asked(model, "0.weight")
