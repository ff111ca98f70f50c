"""Passes are counted wherever the class runs; nothing stays behind."""

import copy

import pytest
import torch
from torch import nn

from benchmarks.zoo.meter import metered


class Plain(nn.Sequential):
    """Its own forward is torch's."""


def test_passes_of_the_model_and_of_copies_count_once_each():
    model = Plain(nn.Linear(2, 2), Plain(nn.Linear(2, 2)))
    with metered(model) as cost:
        model(torch.ones(1, 2))
        copy.deepcopy(model)(torch.ones(1, 2))
    assert cost.passes == 2
    assert "forward" not in vars(Plain)


def test_time_and_passes_are_told_when_it_raises():
    model = Plain(nn.Linear(2, 2))
    with pytest.raises(RuntimeError), metered(model) as cost:
        model(torch.ones(1, 3))
    assert (cost.passes, cost.seconds > 0) == (1, True)


def test_memory_is_that_of_the_peak():
    model = Plain(nn.Linear(2, 2))
    with metered(model) as cost:
        torch.ones(32 << 18).add_(1)  # 32 MiB, freed at once
    assert cost.mib == 0 or cost.mib >= 24
