import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.core.graph import Graph
from stepzero.measure.laws import ratios
from stepzero.measure.segments import segments
from tests.rules.ask import he


def found(model, x=None):
    record = trace(model, torch.randn(32, 64) if x is None else x)
    facts = {fact.name: fact for fact in record.parameters}
    return [ratio for segment in segments(record) for ratio in ratios(Graph(record), segment, facts)]


def stack(phi=nn.ReLU):
    return nn.Sequential(nn.Linear(64, 128), phi(), nn.Linear(128, 128), phi(), nn.Linear(128, 4))


def test_he_is_the_law_of_a_rectifier_and_lecun_that_of_the_head():
    first, second, head = found(he(stack()))
    assert (first.value, second.value) == (pytest.approx(1.0, rel=0.05), pytest.approx(1.0, rel=0.05))
    assert head.value == pytest.approx(math.sqrt(2), rel=0.1)


def test_the_default_draw_keeps_four_tenths_before_a_rectifier():
    first, *_ = found(stack())  # the head, at 0.58 of its law, is left out
    assert first.value == pytest.approx(math.sqrt(1 / 3) / math.sqrt(2), rel=0.05)
    assert first.is_beyond(2.0)
    assert not first.is_beyond(2.5)


def test_a_small_weight_must_be_further_off():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.5, -2.5], [2.5, -2.5]]))
    first = found(model, torch.randn(32, 2))[0]
    assert first.value == pytest.approx(2.5)
    assert not first.is_beyond(2.0)


class Scaled(nn.Module):
    """Unit weights, the law in the forward pass."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(64, 64)), nn.Parameter(torch.randn(64, 4))

    def forward(self, x):
        return F.relu(x @ self.a / 8.0) @ self.b / 8.0


def test_factors_in_the_forward_pass_and_periodic_layers_have_their_own_law():
    class Sine(nn.Module):
        def forward(self, x):
            return x.sin()

    assert found(Scaled()) == []
    assert found(stack(Sine)) == []


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm1d])
def test_layers_in_front_of_a_norm_are_not_felt(norm):
    model = nn.Sequential(nn.Linear(64, 128), norm(128), nn.ReLU(), nn.Linear(128, 4))
    nn.init.normal_(model[3].weight)
    assert [ratio.fact.name for ratio in found(model)] == ["3.weight"]


def test_frozen_and_identity_weights_are_left_out():
    model = stack()
    model[0].requires_grad_(False)
    nn.init.eye_(model[2].weight)
    assert found(model) == []


def test_a_small_head_is_left_out_and_a_loud_one_is_not():
    model = he(stack())
    assert [ratio.fact.name for ratio in found(model)] == ["0.weight", "2.weight", "4.weight"]
    nn.init.normal_(model[4].weight, std=1e-3)
    assert [ratio.fact.name for ratio in found(model)] == ["0.weight", "2.weight"]
