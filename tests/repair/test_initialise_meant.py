"""`init_`: intended zeros, ties, frozen tensors and what was asked for stay."""

import pytest
import torch
from torch import nn

import stepzero as sz
from tests.repair.judging import bits
from tests.repair.starting import ALL, LABELS, TOKENS, Adapted, Tied, X, loss_of, mlp


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("adapted", ["b.weight", "base.weight", "base.bias"]),
        ("rezero", ["alpha"]),
        ("zero gamma", ["norms.0.weight", "norms.1.weight"]),
        ("modulated", ["modulation.weight", "modulation.bias"]),
        ("zero branch", ["up.weight"]),
        ("tied", ["positions"]),
    ],
)
def test_intended_zeros_and_frozen_tensors_stay(name, meant):
    make, batch, target = ALL[name]
    model = make()
    saved = bits(model)
    plan = sz.init_(model, batch, loss=loss_of(name), target=target)
    for each in meant:
        assert torch.equal(model.state_dict()[each], saved[each]), plan.entry(each)
        assert plan.entry(each).action == "kept" or not saved[each].any()


def test_a_zero_hidden_layer_is_no_intention():
    model = mlp()
    for place in (2, 4):
        nn.init.zeros_(model[place].weight)
    plan = sz.init_(model, X, loss="cross_entropy", target=LABELS)
    assert model[2].weight.any()
    assert plan.entry("2.weight").action == "drawn"


@pytest.mark.parametrize("with_batch", [True, False])
def test_the_padding_row_is_zero_and_the_tie_holds(with_batch):
    model = Tied()
    plan = sz.init_(model, TOKENS) if with_batch else sz.init_(model)
    assert model.head.weight is model.embed.weight
    assert not model.embed.weight[0].any()
    assert model.embed.weight[1:].abs().sum() > 0
    assert plan.entry("head.weight") is plan.entry("embed.weight")
    assert not any(scaling.name == "embed.weight" for scaling in plan.scalings)


def test_frozen_tensors_stay_without_a_batch():
    model = Adapted()
    saved = bits(model)
    plan = sz.init_(model)
    assert torch.equal(model.base.weight, saved["base.weight"])
    assert "frozen" in plan.entry("base.weight").why


@pytest.mark.parametrize("with_batch", [True, False])
def test_patterns_to_keep(with_batch):
    model = mlp()
    saved = bits(model)
    plan = sz.init_(model, *([X] if with_batch else []), keep=["2.*", "*.bias"])
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, saved[name])}
    assert changed == {"0.weight", "4.weight"}
    assert plan.entry("2.weight").action == "kept"
    assert "2.*" in plan.entry("2.weight").why


def test_a_kept_name_with_dots_in_it_is_matched_in_full_without_a_batch():
    model = nn.Sequential(mlp(), nn.Linear(3, 3))
    saved = bits(model)
    sz.init_(model, keep=["0.*"])
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items() if name[:2] == "0.")
    assert not torch.equal(model[1].weight, saved["1.weight"])


class LowRank(nn.Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.base = nn.Linear(fan_in, fan_out).requires_grad_(False)
        self.A = nn.Parameter(torch.randn(4, fan_in) / fan_in**0.5)
        self.B = nn.Parameter(torch.zeros(fan_out, 4))

    def forward(self, x):
        return self.base(x) + x @ self.A.T @ self.B.T


def test_an_adapter_behind_a_unit_that_is_off_stays_zero():
    torch.manual_seed(0)
    model = nn.Sequential(LowRank(20, 64), nn.ReLU(), LowRank(64, 64), nn.ReLU(), LowRank(64, 5))
    plan = sz.init_(model, torch.randn(64, 20))  # with this seed one unit is off, and a row of B gets no gradient
    assert [plan.entry(f"{place}.B").action for place in (0, 2, 4)] == ["kept"] * 3


def test_one_pattern_needs_no_list():
    model = mlp()
    saved = bits(model)
    sz.init_(model, X, keep="2.*")
    assert torch.equal(model[2].weight, saved["2.weight"])
    assert not torch.equal(model[0].weight, saved["0.weight"])
