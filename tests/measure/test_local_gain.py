"""The slope of what lies between two layers, against closed forms."""

import math

import pytest
import torch
from torch import nn

import stepzero
from stepzero.core.control import Draw
from stepzero.core.vector import Vector
from stepzero.measure.local_gain import odd_slopes, pairs, slopes, slopes_in
from tests.rules.ask import generator

X = torch.randn(256, 64, generator=generator())


class Map(nn.Module):
    """Two layers with any map between them; unit responses in front of it."""

    def __init__(self, between, width=512):
        super().__init__()
        self.between, self.a, self.b = between, nn.Linear(64, width), nn.Linear(width, 64)
        nn.init.normal_(self.a.weight, std=1 / 8, generator=generator())
        nn.init.zeros_(self.a.bias)

    def forward(self, x):
        return self.b(self.between(self.a(x)))


def read(model, batch=X):
    return list(slopes(stepzero.trace(model, batch)).values())


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        (lambda z: z, 1.0),
        (torch.relu, 0.5**0.5),
        (lambda z: 3 * z, 3.0),
        (lambda z: z**2, 2.0),  # sqrt of the mean of (2 z)^2
        (torch.sin, ((1 + math.exp(-2)) / 2) ** 0.5),  # of cos^2
        (lambda z: z.view(len(z), 2, -1).flatten(1), 1.0),
    ],
)
def test_the_slope_is_the_rms_of_the_derivative(between, expected):
    (found,) = read(Map(between))
    assert found == pytest.approx(expected, rel=0.1)  # random signs of 512 x 64 weights


def test_widths_strides_and_groups_do_not_count():
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3),
        nn.Conv2d(64, 32, 3, stride=2),
        nn.Conv2d(32, 64, 3, groups=4),
        nn.Flatten(),
        nn.Linear(1024, 10),
    )
    found = read(model, torch.randn(8, 3, 15, 15, generator=generator()))
    assert found == pytest.approx([1.0] * len(found), rel=0.25)
    assert len(found) == 3


@pytest.mark.parametrize(
    "between",
    [
        lambda z: torch.nn.functional.layer_norm(z, z.shape[1:]),
        lambda z: z.softmax(1),
        lambda z: z + torch.relu(z),
        lambda z: z.view(len(z), -1, 2).mean(2).repeat(1, 2),
        lambda z: z * torch.sigmoid(z.flip(1)),
    ],
)
def test_what_mixes_or_passes_by_is_no_map_of_single_numbers(between):
    assert read(Map(between)) == []


def test_a_layer_that_two_others_read_has_no_slope():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(64, 64), nn.Linear(64, 8), nn.Linear(64, 8)

        def forward(self, x):
            h = self.a(x)
            return self.b(h) + self.c(h)

    assert read(Fork()) == []


def test_flat_maps_are_odd_and_common_ones_are_not():
    def odd(between):
        return len(odd_slopes(stepzero.trace(Map(between), X)))

    assert odd(lambda z: torch.tanh(20 * z) / 20) == 0
    assert [odd(each) for each in (torch.relu, torch.tanh, torch.sigmoid, nn.functional.gelu)] == [0] * 4
    assert odd(lambda z: (z / 100) ** 2) == odd(lambda z: z**5) == 1


def test_nothing_is_said_where_nothing_arrives_or_a_draw_did_not_look():
    trace = stepzero.trace(Map(lambda z: 0 * z), X)
    assert set(slopes(trace).values()) == {0.0}
    assert odd_slopes(trace) == {}
    assert slopes_in(trace, pairs(trace), Draw(loss=0.0, backward=Vector())) == {}
