"""`fans` from what reads the weights, and from the modules alone."""

import pytest
from torch import nn

import stepzero
from stepzero.core.errors import TargetError
from tests.probe.observing import seeded


def test_with_and_without_a_batch():
    network = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    alone, seen = stepzero.fans(network), stepzero.fans(network, seeded(3, 4))
    assert {name: fact.fan_in for name, fact in alone.items()} == {"0.weight": 4, "1.weight": 8}
    assert alone.keys() == seen.keys()
    assert seen["1.weight"].fan_in == 8


def test_a_factory_is_refused():
    with pytest.raises(TargetError, match="pass the module itself"):
        stepzero.fans(lambda: nn.Linear(2, 2))
