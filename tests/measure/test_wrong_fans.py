import math

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.wrong_fans import draws, is_lawful, mistakes
from tests.rules.ask import generator


class Matrix(nn.Module):
    """``x @ W`` with W of shape (in, out)."""

    def __init__(self, rows, columns, std):
        super().__init__()
        self.W = nn.Parameter(torch.empty(rows, columns).normal_(std=std, generator=generator()))

    def forward(self, x):
        return torch.relu(x @ self.W)


def only(model, *shape):
    (draw,) = draws(trace(model, torch.randn(shape)))
    return draw, [(mistake.reading, mistake.law) for mistake in mistakes(draw)]


@pytest.mark.parametrize(
    ("std", "lawful", "law"),
    [
        (math.sqrt(2 / 64), True, None),
        (math.sqrt(1 / 64), True, None),
        (math.sqrt(2 / (64 + 16)), True, None),
        (0.02, True, None),
        (math.sqrt(2 / 16), False, "He"),
        (math.sqrt(1 / 16), False, "LeCun"),
        (math.sqrt(1 / 48), True, "torch's default"),
    ],
)
def test_a_matrix_read_the_other_way_round(std, lawful, law):
    """sqrt(1 / 48) lies within the sample's error of a law with the true fans: Glorot's, 0.158 for 0.144."""
    draw, found = only(Matrix(64, 16, std), 32, 64)
    if law != "torch's default":
        assert is_lawful(draw) is lawful
    assert found == ([("axis 1 of the stored tensor", law)] if law else [])


def test_a_square_matrix_cannot_be_misread():
    assert only(Matrix(64, 64, math.sqrt(2 / 64)), 32, 64)[1] == []


def test_the_fan_out_of_a_linear_layer_is_a_law():
    model = nn.Linear(64, 256)
    nn.init.kaiming_normal_(model.weight, mode="fan_out", generator=generator())
    draw, found = only(model, 32, 64)
    assert is_lawful(draw)
    assert found == []


def test_a_depthwise_convolution_drawn_for_all_channels():
    model = nn.Conv2d(64, 64, 3, groups=64)
    nn.init.normal_(model.weight, std=math.sqrt(2 / (64 * 9)), generator=generator())
    draw, found = only(model, 2, 64, 8, 8)
    assert not is_lawful(draw)
    assert found == [("the fan in without the groups", "He")]


def test_a_transposed_convolution_with_its_channels_swapped():
    model = nn.ConvTranspose2d(128, 8, 4, 2, 1)
    nn.init.kaiming_normal_(model.weight, generator=generator())
    draw, found = only(model, 2, 128, 4, 4)
    assert not is_lawful(draw)
    assert found == [("axis 1 of the stored tensor", "He")]


def test_layers_of_one_shape_are_pooled_unless_their_scales_differ():
    def stack(factor):
        layers = [nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)]
        for layer in layers[::2]:
            nn.init.normal_(layer.weight, std=0.1, generator=generator())
        layers[2].weight.data *= factor
        return draws(trace(nn.Sequential(*layers), torch.randn(8, 32)))

    assert [len(draw.facts) for draw in stack(1.0)] == [2]
    assert [len(draw.facts) for draw in stack(2.0)] == [1, 1]
    assert stack(1.0)[0].margin == pytest.approx(3 / math.sqrt(2 * 2048))
