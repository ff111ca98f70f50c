import copy

import pytest
import torch
from torch import nn

from tests.probe.observing import Net, seeded
from tests.probe.planting import X, square, stack
from tests.rules.ask import ask


def found(model, batch=X):
    return {finding.where: finding.severity for finding in ask("SZ209", model, batch, square)}


def tower(*layers):
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.Tanh())), nn.Linear(6, 3))


@pytest.mark.parametrize("count", [2, 3, 6])
def test_cloned_layers_are_one_warning(count):
    layer = nn.Linear(6, 6)
    (finding,) = ask("SZ209", tower(*(copy.deepcopy(layer) for _ in range(count))), X, square)
    assert (finding.severity, finding.value) == ("warning", count)
    assert finding.where == tuple(f"{2 * index}.weight" for index in range(count))
    assert "were drawn once" in finding.message


def test_a_module_that_clones_its_layer():
    """`nn.TransformerEncoder` deep-copies the layer it is given (pytorch/pytorch#72253)."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    said = found(model, seeded(4, 5, 8))
    assert set(said.values()) == {"warning"}
    (where,) = said  # one finding, whatever the weights a layer has
    assert {f"layers.{index}.linear1.weight" for index in range(3)} <= set(where)


def test_layers_seeded_alike():
    layers = []
    for _ in range(3):
        torch.manual_seed(1)
        layers.append(nn.Linear(6, 6))
    assert set(found(tower(*layers)).values()) == {"warning"}


# -- traps ------------------------------------------------------------------------------------------------------------


def test_biases_and_norms_that_are_equal_by_design_are_silent():
    def block():
        made = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6))
        nn.init.zeros_(made[0].bias)
        return made

    assert found(tower(*(block() for _ in range(3)))) == {}


def test_one_module_in_several_places_is_silent():
    layer = nn.Linear(6, 6)
    assert found(tower(layer, layer, layer)) == {}


def test_clones_that_are_drawn_anew_are_silent():
    layer = nn.Linear(6, 6)
    clones = [copy.deepcopy(layer) for _ in range(3)]
    for clone in clones:
        clone.reset_parameters()
    assert found(tower(*clones)) == {}


@pytest.mark.parametrize(
    "value", [torch.eye(6), torch.zeros(6, 6), torch.full((6, 6), 0.1)], ids=["eye", "zero", "same"]
)
def test_patterns_that_are_no_draw_are_silent(value):
    layers = [nn.Linear(6, 6) for _ in range(2)]
    for layer in layers:
        layer.weight.data.copy_(value)
    assert found(tower(*layers)) == {}


def test_a_copy_without_a_gradient_is_silent():
    layer = nn.Linear(6, 6)
    assert found(tower(layer, copy.deepcopy(layer).requires_grad_(False))) == {}


def test_members_side_by_side_are_told_elsewhere():
    one = stack(6, 8, 3)
    assert found(Net(lambda self, x: self.a(x) + self.b(x), a=one, b=copy.deepcopy(one))) == {}


def test_looked_up_tables_are_silent():
    table = nn.Embedding(9, 6)
    model = Net(lambda self, ids: self.a(ids) + self.b(ids + 1), a=table, b=copy.deepcopy(table))
    assert found(nn.Sequential(model, nn.Linear(6, 3)), torch.arange(8)) == {}
