import os

import pytest

from stepzero.lab import local
from stepzero.lab.grid import Grid
from stepzero.lab.running import batches

GRID = Grid(weights=("lecun", "he"), depths=(1, 2), seeds=3, steps=10)


@pytest.mark.slow
def test_processes_give_the_same_bits_as_none():
    here, there = (
        {each.network.key: each for part in local.run(batches(GRID.networks()), workers=workers) for each in part}
        for workers in (0, 2)
    )
    assert here == there
    assert len(here) == 12


def test_there_is_a_core():
    assert 1 <= local.cores() <= os.cpu_count()
