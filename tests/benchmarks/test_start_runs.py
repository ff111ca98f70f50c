"""Stacked training is training, and divergence is what it says."""

import copy
import math

import pytest
import torch

from benchmarks import start_runs
from benchmarks.small import fleet, nets, tasks, training


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_stacked_network_trains_as_it_would_alone(optimizer: str) -> None:
    torch.manual_seed(0)
    models = [nets.plain(8, 2, "tanh") for _ in range(2)]
    task, rates, seeds = tasks.get("digits"), (0.01, 0.02), (3, 4)
    together = fleet.train(models, task, optimizer, rates, seeds, steps=10)
    alone = [
        training.train(copy.deepcopy(model), task, optimizer, rate, seed=seed, steps=10)
        for model, rate, seed in zip(models, rates, seeds, strict=True)
    ]
    assert together == pytest.approx(alone, rel=1e-4)


def test_a_network_that_blows_up_is_infinite_and_leaves_the_others_alone() -> None:
    torch.manual_seed(0)
    models = [nets.plain(8, 2, "relu") for _ in range(2)]
    losses = fleet.train(models, tasks.get("digits"), "momentum", (0.01, 1e30), (0, 0), steps=10)
    assert math.isfinite(losses[0])
    assert math.isinf(losses[1])


def test_recurrent_networks_are_trained_one_by_one_from_where_they_start() -> None:
    torch.manual_seed(0)
    row = start_runs.ROWS["GRU"]
    model = row.build()
    before = copy.deepcopy(model)
    losses = start_runs._trained(row, [model], 3)
    alone = training.train(before, tasks.get(row.task), "adam", row.rates[-1], seed=0, steps=3)
    assert losses[-1] == [pytest.approx(alone)]
