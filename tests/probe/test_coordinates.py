"""The coordinate check on perceptrons whose scalings are right, and wrong in one known way."""

import pytest
import torch
from torch import nn

from stepzero.core.coordinates import CoordinateCheck
from stepzero.core.errors import ConfigError, TargetError
from stepzero.probe.coordinates import coordinate_check

BASE, WIDTHS = 32, (32, 64, 128, 256)


class Net(nn.Module):
    def __init__(self, width: int, *, has_multiplier: bool = True):
        super().__init__()
        self.stem = nn.Linear(16, width, bias=False)
        self.body = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        self.multiplier = BASE / width if has_multiplier else 1.0
        nn.init.normal_(self.stem.weight, std=0.25)
        nn.init.normal_(self.body.weight, std=width**-0.5)
        nn.init.normal_(self.head.weight, std=BASE**-0.5)

    def forward(self, x):
        return self.head(self.body(self.stem(x).tanh()).tanh()) * self.multiplier


def factory(**given):
    def make(width):
        generator = torch.Generator().manual_seed(1)
        x, y = torch.randn(16, 16, generator=generator), torch.randn(16, 4, generator=generator)
        return Net(width, **given), (x, y), "mse"

    return make


def adam(model, *, body=-1.0, stem=0.0):
    ratio = model.body.in_features / BASE
    groups = [(model.stem, stem), (model.body, body), (model.head, 0.0)]
    return torch.optim.Adam([{"params": list(m.parameters()), "lr": 1e-3 * ratio**power} for m, power in groups])


def check(make=None, optimizer=adam, **given) -> CoordinateCheck:
    return coordinate_check(make or factory(), WIDTHS, optimizer=optimizer, **given)


def test_a_right_model_is_stable_everywhere():
    found = check()
    assert found.ok, found.sentence
    assert {place.name: place.verdict for place in found.places} == dict.fromkeys(["stem", "body", "head"], "stable")
    assert found.optimizer == "Adam"


def test_sgd_in_its_own_scaling_is_stable():
    def sgd(model):
        ratio = model.body.in_features / BASE
        powers = [(model.stem, 1), (model.body, 0), (model.head, 1)]
        return torch.optim.SGD([{"params": list(m.parameters()), "lr": 0.05 * ratio**power} for m, power in powers])

    assert check(optimizer=sgd).ok


def test_the_output_may_start_small():
    start = check().place("head").slopes[0]
    assert start.step == 0
    assert start.low < -0.5 < start.high


def test_a_missing_multiplier_explodes_by_one_power():
    place = check(factory(has_multiplier=False)).place("head")
    assert place.verdict == "explodes"
    assert place.decisive.value == pytest.approx(1.0, abs=0.2)


def test_an_undivided_learning_rate_explodes_behind_its_weight_not_before():
    found = check(optimizer=lambda model: adam(model, body=0.0))
    assert found.place("stem").verdict == "stable"
    assert found.place("body").verdict == "explodes"


def test_a_divided_input_rate_vanishes_by_one_power():
    found = check(optimizer=lambda model: adam(model, stem=-1.0))
    assert [place.name for place in found.alarms] == ["stem"]
    assert found.place("stem").decisive.value == pytest.approx(-1.0, abs=0.1)


def test_frozen_parts_are_not_judged():
    def make(width):
        model, batch, loss = factory()(width)
        model.stem.weight.requires_grad_(False)
        return model, batch, loss

    found = check(make)
    assert found.place("stem").verdict == "unmoved"
    assert found.place("body").verdict == "stable"


def test_the_batch_and_the_random_state_are_left_alone():
    x, y = torch.randn(16, 16), torch.randn(16, 4)
    before, state = x.clone(), torch.get_rng_state()
    coordinate_check(Net, (8, 16, 32), optimizer=adam, batch=x, target=y, loss="mse", steps=1, seeds=1)
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_two_checks_are_equal():
    assert check(steps=2, seeds=2) == check(steps=2, seeds=2)


def test_what_not_every_width_has_is_listed():
    def make(width):
        model, batch, loss = factory()(width)
        return (nn.Sequential(model, nn.Linear(4, 4)) if width > 100 else nn.Sequential(model)), batch, loss

    def optimizer(model):
        return torch.optim.SGD(model.parameters(), lr=1e-3)

    found = check(make, optimizer, steps=1)
    assert dict(found.skipped) == {"1": "not there at every width"}


@pytest.mark.parametrize("given", [{"widths": (8, 16)}, {"widths": (8, 8, 8)}, {"steps": 0}, {"seeds": 0}])
def test_too_little_for_a_line_is_refused(given):
    with pytest.raises(ConfigError, match="three different widths"):
        coordinate_check(factory(), **{"widths": WIDTHS, "optimizer": adam, **given})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"factory": nn.Linear(2, 2)}, "factory: expected a function of the width, got Linear"),
        ({"factory": None}, "factory: expected a function of the width, got NoneType"),
        ({"optimizer": "adam"}, "optimizer: expected a function of the model such as"),
        ({"optimizer": torch.optim.SGD([torch.ones(1)], lr=0.1)}, "got SGD"),
        ({"widths": 64}, "three different widths"),
        ({"widths": "abc"}, "widths: expected whole numbers"),
        ({"widths": (8, 16.5, 32)}, "widths: expected whole numbers"),
        ({"widths": (0, 16, 32)}, "widths: expected whole numbers"),
        ({"steps": 2.5}, "steps 2.5"),
        ({"seeds": "3"}, "seeds '3'"),
    ],
)
def test_odd_arguments_are_told_in_one_line(given, told):
    with pytest.raises(ConfigError) as caught:
        coordinate_check(**{"factory": factory(), "widths": WIDTHS, "optimizer": adam, **given})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_something_else_than_an_optimizer_is_refused():
    with pytest.raises(TargetError, match="got list from it"):
        check(optimizer=lambda model: list(model.parameters()))


def test_divergence_of_the_narrowest_model_is_refused():
    with pytest.raises(TargetError, match="does not stay finite"):
        check(optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=1e30))
