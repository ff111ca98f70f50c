"""`mup_`: deviations, learning rates and decay by role; equivalent forms train alike; the coordinate check agrees."""

import copy
import math

import pytest
import torch
from torch import nn

from stepzero.core.errors import ConfigError, TargetError
from stepzero.probe.coordinates import coordinate_check
from stepzero.repair.mup import mup_

BASE = 32
X = torch.randn(16, 12, generator=torch.Generator().manual_seed(0))
Y = torch.randn(16, 5, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    def __init__(self, width: int, multiplier: str = "behind"):
        super().__init__()
        self.stem, self.body, self.head = nn.Linear(12, width), nn.Linear(width, width), nn.Linear(width, 5, bias=False)
        self.scale, self.place = BASE / width, multiplier

    def forward(self, x):
        h = self.body(self.stem(x).tanh()).tanh()
        if self.place == "in front":
            return self.head(h * self.scale)
        y = self.head(h)
        return y if self.place == "missing" else y * (self.scale if self.place == "behind" else self.scale**0.5)


def applied(width=256, multiplier="behind", **given):
    model = Net(width, multiplier)
    plan, groups = mup_(model, Net(BASE, multiplier), X, loss="mse", target=Y, **{"lr": 0.01, **given})
    return model, plan, groups


def rates(model, groups, key="lr"):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group[key] for group in groups for parameter in group["params"]}


def test_adam_by_table_8():
    model, plan, groups = applied()
    assert rates(model, groups) == pytest.approx(
        {"stem.weight": 0.01, "stem.bias": 0.01, "body.weight": 0.01 / 8, "body.bias": 0.01, "head.weight": 0.01}
    )
    narrow = applied(BASE)[1]
    for name, factor in (("stem.weight", 1.0), ("body.weight", 8**-0.5), ("head.weight", 1.0)):
        assert plan.entry(name).std == pytest.approx(narrow.entry(name).std * factor)
        assert float(model.get_parameter(name).detach().std()) == pytest.approx(plan.entry(name).std, rel=0.1)
    assert plan.notes == ()


def test_sgd_by_table_8():
    model, _, groups = applied(optimizer="sgd")
    assert rates(model, groups) == pytest.approx(
        {"stem.weight": 0.08, "stem.bias": 0.08, "body.weight": 0.01, "body.bias": 0.08, "head.weight": 0.08}
    )


def test_a_multiplier_in_front_is_found_too():
    assert applied(multiplier="in front")[1].notes == ()


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.01 / 8), ("sgd", 0.01 / 8)])
def test_a_missing_multiplier_goes_into_deviation_and_rate(optimizer, rate):
    model, plan, groups = applied(multiplier="missing", optimizer=optimizer)
    assert rates(model, groups)["head.weight"] == pytest.approx(rate)
    assert plan.entry("head.weight").std == pytest.approx(applied()[1].entry("head.weight").std / 8)
    assert "table 3 of 2203.03466 in place of table 8" in plan.notes[0]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("adam", lambda groups: torch.optim.Adam(groups, eps=0.0)),
        ("adam", lambda groups: torch.optim.AdamW(groups, eps=0.0)),
        ("sgd", lambda groups: torch.optim.SGD(groups, momentum=0.9)),
    ],
)
@pytest.mark.parametrize("multiplier", ["missing", "in part"])
def test_equivalent_forms_train_alike(name, made, multiplier):
    decay = 0.1 if made([{"params": [nn.Parameter(X)]}]).__class__ is torch.optim.AdamW else 0.0
    outputs = []
    for place in ("behind", multiplier):
        model, _, groups = applied(multiplier=place, optimizer=name, weight_decay=decay)
        model.double()
        optimizer = made(groups)
        for _ in range(5):
            optimizer.zero_grad()
            (model(X.double()) - Y).square().mean().backward()
            optimizer.step()
        outputs.append(model(X.double()).detach())
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


def test_coupled_decay_keeps_its_product_with_the_rate_and_decoupled_is_one():
    for optimizer in ("adam", "sgd"):
        _, _, groups = applied(optimizer=optimizer, weight_decay=0.1)
        assert [group["lr"] * group["weight_decay"] for group in groups] == pytest.approx([0.001] * len(groups))
        _, _, groups = applied(optimizer=optimizer, weight_decay=0.1, decay="decoupled")
        assert {group["weight_decay"] for group in groups} == {0.1}


def test_a_zero_readout_stays_zero_and_has_its_rate_scaled():
    model, base = Net(256, "missing"), Net(BASE, "missing")
    for each in (model, base):
        nn.init.zeros_(each.head.weight)
    plan, groups = mup_(model, base, X, lr=0.01, loss="mse", target=Y)
    assert plan.entry("head.weight").action == "kept"
    assert not model.head.weight.any()
    assert rates(model, groups)["head.weight"] == pytest.approx(0.01 / 8)


class Tied(nn.Module):
    def __init__(self, width, *, has_multiplier):
        super().__init__()
        self.table, self.body = nn.Embedding(11, width), nn.Linear(width, width)
        self.scale = BASE / width if has_multiplier else 1.0

    def forward(self, tokens):
        return self.body(self.table(tokens)).tanh() @ self.table.weight.T * self.scale


@pytest.mark.parametrize("has_multiplier", [True, False])
def test_a_tied_readout_needs_its_multiplier_in_the_forward(has_multiplier):
    model, base = (Tied(width, has_multiplier=has_multiplier) for width in (128, BASE))
    plan, groups = mup_(model, base, torch.randint(11, (4, 3)), lr=0.01)
    assert rates(model, groups)["table.weight"] == pytest.approx(0.01)
    assert [note.startswith("table.weight: readout and lookup table in one") for note in plan.notes] == (
        [] if has_multiplier else [True]
    )
    narrow, _ = mup_(Tied(BASE, has_multiplier=True), base, torch.randint(11, (4, 3)), lr=0.01)
    assert plan.entry("table.weight").std == pytest.approx(narrow.entry("table.weight").std)


def test_unequal_widths_of_a_hidden_matrix():
    def make(width, inner):
        return nn.Sequential(nn.Linear(12, width), nn.Tanh(), nn.Linear(width, inner), nn.Tanh(), nn.Linear(inner, 5))

    model = make(64, 128)
    _, groups = mup_(model, make(32, 16), X, lr=0.01, optimizer="sgd")
    assert rates(model, groups)["2.weight"] == pytest.approx(0.01 * 8 / 2)
    model = make(64, 128)
    _, groups = mup_(model, make(32, 16), X, lr=0.01)
    assert rates(model, groups)["2.weight"] == pytest.approx(0.01 / 2)


def test_the_base_width_is_the_base_model():
    _, plan, groups = applied(BASE)
    assert {group["lr"] for group in groups} == {0.01}
    assert plan.notes == ()


def test_frozen_parameters_are_kept_and_in_no_group():
    model, base = Net(64), Net(BASE)
    for each in (model, base):
        each.stem.requires_grad_(False)
    before = model.stem.weight.clone()
    _, groups = mup_(model, base, X, lr=0.01)
    assert torch.equal(model.stem.weight, before)
    assert not any(name.startswith("stem") for name in rates(model, groups))


def test_base_and_random_state_are_left_alone_and_draws_repeat():
    base = Net(BASE)
    before, state = copy.deepcopy(base.state_dict()), torch.get_rng_state()
    models = [copy.deepcopy(Net(64)) for _ in range(2)]
    state = torch.get_rng_state()
    for model in models:
        mup_(model, base, X, lr=0.01, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in base.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_a_factory_will_do_as_base():
    model = Net(64)
    _, groups = mup_(model, lambda: Net(BASE), X, lr=0.01)
    assert rates(model, groups)["body.weight"] == pytest.approx(0.005)


def test_twice_is_refused():
    model, _, _ = applied(64)
    with pytest.raises(TargetError, match="applied to it before"):
        mup_(model, Net(BASE), X, lr=0.01)


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"lr": math.inf}, {"weight_decay": -1.0}, {"decay": "both"}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        applied(64, **wrong)


@pytest.mark.parametrize(
    ("optimizer", "lr", "multiplier"),
    [("adam", 0.003, "behind"), ("adam", 0.003, "missing"), ("sgd", 0.05, "behind"), ("sgd", 0.05, "missing")],
)
def test_the_coordinate_check_agrees(optimizer, lr, multiplier):
    made = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]

    def factory(width):
        seed = int(torch.randint(1 << 30, ()))
        model = Net(width, multiplier)
        _, model.groups = mup_(model, Net(BASE, multiplier), X, optimizer=optimizer, lr=lr, seed=seed)
        return model, (X, Y), "mse"

    found = coordinate_check(factory, (32, 64, 128, 256), optimizer=lambda model: made(model.groups))
    assert found.ok, found.sentence


def test_adam_goes_by_any_of_its_names():
    model, _, groups = applied()
    for name in ("adamw", "AdamW", "lion"):
        other, _, given = applied(optimizer=name)
        assert rates(other, given) == rates(model, groups)
        assert torch.equal(other.body.weight, model.body.weight)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"optimizer": "muon"}, r"expected 'adam' \(or .*adamw.*\) or 'sgd', got 'muon'"),
        ({"optimizer": torch.optim.Adam}, "got <class"),
        ({"lr": "0.1"}, "expected numbers as lr and weight_decay, got '0.1'"),
        ({"weight_decay": None}, "got 0.01 and None"),
    ],
)
def test_odd_arguments_are_told_in_one_line(wrong, told):
    with pytest.raises(ConfigError, match=told):
        applied(**wrong)


def test_something_else_than_a_base_is_refused():
    with pytest.raises(TargetError, match=r"base: expected a torch\.nn\.Module or a factory of one, got NoneType"):
        mup_(Net(64), None, X, lr=0.1)
