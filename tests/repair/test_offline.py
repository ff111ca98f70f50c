"""Without a batch: laws of torch's own modules, by class and layout; the rest is listed."""

import math

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.repair.offline import entries


def by_name(model, keep=()):
    return {entry.name: entry for entry in entries(model, keep)}


LAYERS = {
    # module -> (fan-in, fan-out) of its weight
    "linear": (nn.Linear(6, 10), (6, 10)),
    "conv": (nn.Conv2d(6, 10, 3), (54, 90)),
    "grouped": (nn.Conv2d(6, 12, 3, groups=3), (18, 36)),
    "strided": (nn.Conv2d(6, 10, 4, stride=2), (96, 40)),
    "transposed": (nn.ConvTranspose2d(6, 10, 4, stride=2), (24, 160)),
    "1d": (nn.Conv1d(6, 10, 5), (30, 50)),
    "bilinear": (nn.Bilinear(6, 7, 10), (42, 70)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_fans_are_those_of_the_operation(kind):
    layer, (fan_in, fan_out) = LAYERS[kind]
    entry = by_name(layer)["weight"]
    assert (entry.fan_in, entry.fan_out) == (fan_in, fan_out)
    assert entry.std == pytest.approx(1 / math.sqrt(fan_in))


@pytest.mark.parametrize(
    ("between", "gain"),
    [
        ([nn.ReLU()], math.sqrt(2)),
        ([nn.LeakyReLU(0.2)], math.sqrt(2 / 1.04)),
        ([nn.Tanh()], 1.59254),
        ([nn.ReLU(), nn.Dropout(), nn.Identity()], math.sqrt(2)),
        ([nn.ReLU(), nn.LayerNorm(8)], 1.0),
        ([], 1.0),
    ],
)
def test_the_gain_is_that_of_the_activation_before_it(between, gain):
    model = nn.Sequential(nn.Linear(8, 8), *between, nn.Linear(8, 8))
    assert by_name(model)[f"{len(between) + 1}.weight"].gain == pytest.approx(gain, abs=1e-5)
    assert by_name(model)["0.weight"].gain == 1.0


def test_norms_are_the_identity_and_statistics_start_anew():
    found = by_name(nn.BatchNorm1d(4))
    assert (found["weight"].value, found["bias"].value) == (1.0, 0.0)
    assert (found["running_mean"].value, found["running_var"].value) == (0.0, 1.0)
    assert found["num_batches_tracked"].value == 0.0


@pytest.mark.parametrize("norm", [nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.InstanceNorm1d(4, affine=True)])
def test_other_norms(norm):
    assert by_name(norm)["weight"].value == 1.0


def test_a_packed_projection_is_three_blocks():
    found = by_name(nn.MultiheadAttention(8, 2))
    assert (found["in_proj_weight"].blocks, found["in_proj_weight"].fan_in) == (3, 8)
    assert (found["out_proj.weight"].blocks, found["out_proj.weight"].fan_in) == (1, 8)
    apart = by_name(nn.MultiheadAttention(8, 2, kdim=5, vdim=6))
    assert [apart[f"{each}_proj_weight"].fan_in for each in "qkv"] == [8, 5, 6]


@pytest.mark.parametrize(("cell", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1), (nn.LSTMCell, 4), (nn.GRUCell, 3)])
def test_recurrent_weights_go_gate_by_gate(cell, gates):
    found = by_name(cell(6, 5))
    recurrent = [entry for name, entry in found.items() if "weight_hh" in name]
    assert [(entry.role, entry.blocks, entry.scheme) for entry in recurrent] == [("recurrent", gates, "orthogonal")]
    biases = [entry for name, entry in found.items() if "bias" in name]
    opened = [entry.values for entry in biases if entry.values]
    assert opened == ([((5, 10, 1.0),)] if gates > 1 else [])


def test_an_embedding_keeps_its_padding_row_at_zero():
    assert by_name(nn.Embedding(9, 4, padding_idx=-1))["weight"].values == ((8, 9, 0.0),)


def test_what_is_not_known_is_skipped_with_a_reason():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))

    entry = by_name(Own())["w"]
    assert entry.action == "skipped"
    assert "no batch" in entry.why


def test_lazy_frozen_and_kept_tensors():
    model = nn.ModuleDict(
        {"lazy": nn.LazyLinear(3), "frozen": nn.Linear(2, 2).requires_grad_(False), "kept": nn.Linear(2, 2)}
    )
    found = by_name(model, ["kept.*"])
    assert found["lazy.weight"].action == "skipped"
    assert "lazy" in found["lazy.weight"].why
    assert found["frozen.weight"].action == found["kept.bias"].action == "kept"


def test_a_tie_has_one_entry_with_all_names():
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    (entry,) = entries(model, ())
    assert (entry.name, entry.aliases, entry.role) == ("embed.weight", ("head.weight",), "table")


def test_a_tied_tensor_is_kept_by_any_of_its_names():
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    (entry,) = entries(model, ["head.*"])
    assert entry.action == "kept"


def test_a_weight_norm_pair_is_not_taken_for_a_plain_weight():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    found = by_name(layer)
    assert set(found) == {name for name, _ in layer.named_parameters()}
    originals = [entry for name, entry in found.items() if "original" in name]
    assert [entry.action for entry in originals] == ["skipped", "skipped"]


def test_zeros_are_kept_where_nothing_tells_whether_they_are_meant():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[2].weight)
    plan = sz.init_(model)
    assert {plan.entry(name).action for name in ("1.weight", "2.weight")} == {"kept"}
    assert not model[1].weight.any()
    assert not model[2].weight.any()
