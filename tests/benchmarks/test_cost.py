"""The cost benchmark measures what it says."""

import sys

import pytest
import torch
from torch import nn

from benchmarks.cost.observers import Observer
from benchmarks.cost.timing import Pair, paired, summary


def test_ratios_are_of_medians_pairs_and_minima() -> None:
    said = summary([Pair(1.0, 1.0, 2.0, 1.5), Pair(2.0, 2.0, 2.0, 3.0), Pair(4.0, 4.0, 6.0, 6.0)])
    assert said["wall_ratio"] == 1.0
    assert said["wall_ratio_of_pairs"] == 1.5
    assert said["wall_ratio_of_minima"] == 2.0
    assert said["cpu_ratio"] == 1.5


def test_pairs_alternate_their_order() -> None:
    calls: list[str] = []
    plain, other = Observer("plain", lambda: calls.append("p")), Observer("other", lambda: calls.append("o"))
    assert len(paired(plain, other, repeats=4)) == 4
    assert "".join(calls[4:]) == "poop" * 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_sees_a_tensor_that_lives_for_a_moment() -> None:
    from benchmarks.cost.memory import _live_tensor_bytes, _resident_above_start

    model = nn.Linear(4, 4)
    passing = Observer("passing", lambda: (torch.ones(2**22) + 1, model(torch.ones(1, 4)))[1])
    assert 32 <= _live_tensor_bytes(passing) / 2**20 < 33  # two tensors of 16 MiB alive at once
    assert 30 < _resident_above_start(passing) < 40
