"""Copies are found however a layer is written, and what stands behind it counts."""

import copy

import pytest
import torch
from torch import nn

from tests.probe.observing import Net, seeded
from tests.probe.planting import (
    ADAM,
    SGD,
    by_level,
    distinct,
    found,
    gap,
    responses,
    square,
    trained,
    units,
)
from tests.probe.ways import WAYS, convolution, old_weight_norm


@pytest.mark.parametrize("way", WAYS)
def test_twins_are_found_however_the_layer_is_written(way):
    model, batch, (name, pair, place) = way()
    twins = by_level(found(model, batch))["twins"]
    assert pair in units(twins, name)
    assert all(block.gap < 1e-12 for block in twins)
    if place is not None and way is not old_weight_norm:
        for optimizer in (SGD, ADAM):
            assert gap(responses(trained(model, batch, square, optimizer), place, batch), pair) < 1e-10


@pytest.mark.parametrize("way", WAYS)
def test_the_same_layers_drawn_are_all_different(way):
    model, batch, (name, _, _) = way()
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    fact = found(model, batch)
    assert not fact.blocks
    assert all(width.distinct == width.units for width in fact.widths)
    assert name in distinct(fact)


def heads():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(16, 4, batch_first=True)
    model = Net(lambda self, x: self.attention(x, x, x, need_weights=False)[0], attention=attention)
    with torch.no_grad():
        for start in (0, 16, 32):
            attention.in_proj_weight[start + 8 : start + 12] = attention.in_proj_weight[start : start + 4]
        attention.out_proj.weight[:, 8:12] = attention.out_proj.weight[:, :4]
    return model, seeded(4, 6, 16)


def test_copied_heads_of_a_packed_attention_are_twins_in_query_key_and_value():
    model, batch = heads()
    twins = units(by_level(found(model, batch))["twins"], "attention.in_proj_weight")
    assert twins == [(start + unit, start + unit + 8) for start in (0, 16, 32) for unit in range(4)]
    moved = trained(model, batch, square, ADAM).attention.in_proj_weight
    assert float((moved[8:12] - moved[:4]).detach().abs().max()) < 1e-12


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(6), nn.InstanceNorm2d(6), nn.GroupNorm(6, 6), nn.InstanceNorm2d(6, affine=True)]
)
def test_channels_that_differ_by_a_bias_which_the_norm_takes_off(norm):
    model, batch, _ = convolution()
    model[1] = norm
    with torch.no_grad():
        model[0].bias[5] += 1
    assert gap(responses(trained(model, batch, square, ADAM), "1", batch), (2, 5)) < 1e-10
    assert units(by_level(found(model, batch))["twins"], "0.weight") == [(2, 5)]


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm([6, 6, 6]), nn.GroupNorm(2, 6), nn.BatchNorm2d(6, track_running_stats=True)]
)
def test_a_bias_counts_in_front_of_a_norm_over_several_channels_or_where_others_read_it_too(norm):
    model, batch, _ = convolution()
    with torch.no_grad():
        model[0].bias[5] += 1
    model[1] = norm
    if isinstance(norm, nn.BatchNorm2d):
        head = copy.deepcopy(model)

        def forward(self, x):
            first = self.net[0](x)
            return self.net[1:](first) + first.square().mean((2, 3))[:, :3]

        model = Net(forward, net=head)
    fact = found(model, batch)
    assert "twins" not in by_level(fact)
    assert (
        gap(
            responses(
                trained(model, batch, square, ADAM), "1" if "1" in dict(model.named_modules()) else "net.1", batch
            ),
            (2, 5),
        )
        > 1e-6
    )


@pytest.mark.parametrize(("kind", "gates_of"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_copies_in_the_first_of_two_recurrent_layers(kind, gates_of):
    lstm = kind(6, 8, 2, batch_first=True)
    model = Net(lambda self, x: self.head(self.lstm(x)[0][:, -1]), lstm=lstm, head=nn.Linear(8, 3))
    with torch.no_grad():
        for each in (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0):
            gates = each.unflatten(0, (gates_of, 8))
            gates[:, 6] = gates[:, 2]
        for each in (lstm.weight_hh_l0, lstm.weight_ih_l1):
            each[:, 6] = each[:, 2]
    batch = seeded(6, 5, 6)
    moved = trained(model, batch, square, ADAM).lstm.weight_ih_l0
    assert float((moved[6] - moved[2]).detach().abs().max()) < 1e-12
    fact = found(model, batch)
    assert units(by_level(fact)["twins"], "lstm.weight_ih_l0") == [(2, 6)]
    assert distinct(fact)["lstm.weight_ih_l1"] == 8
    lstm.weight_ih_l1.data[0, 6] += 0.5
    assert "twins" not in by_level(found(model, batch))
