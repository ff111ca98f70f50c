import pytest
import torch
from torch import nn

from stepzero import api
from stepzero.probe.widths import base_width
from tests.probe.observing import seeded

X = seeded(16, 4)


def build(width=16):
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1)), X, lambda output: output.square().mean()


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (build, 16),
        (lambda: None, None),
        (lambda width: None, None),
        (lambda width="wide": None, None),
        (lambda width=True: None, None),
        (lambda depth=3: None, None),
        (None, None),
    ],
)
def test_a_factory_takes_a_width_when_it_has_a_value_for_it(factory, expected):
    assert base_width(factory) == expected


def test_the_models_are_one_two_and_four_times_as_wide():
    found = api.trace(build, probes=["widths"]).widths
    assert found.ran
    assert found.check.widths == (16, 32, 64)
    assert found.check.optimizer == "Adam"


def test_what_cannot_be_built_wider_is_told():
    def only(width=16):
        if width > 16:
            raise ValueError("too wide")
        return build(width)

    assert "too wide" in api.trace(only, probes=["widths"]).widths.reason


def test_without_a_loss_nothing_is_trained():
    def silent(width=16):
        return build(width)[0], torch.randn(8, 4)

    assert "no loss" in api.trace(silent, probes=["widths"]).widths.reason
