import functools
import itertools

import pytest

from stepzero import lab
from stepzero.lab.studies import gain


@pytest.mark.slow
def test_the_time_to_learn_is_a_valley_around_the_gain_that_keeps_the_signal(tmp_path):
    answer = gain.run("short", functools.partial(lab.run, store=tmp_path / "lab.sqlite", workers=2))
    for name, each in answer.facts.items():
        assert 0.4 <= each["best"] <= 2.0, name
        for end in ("smallest", "largest"):
            assert each[end] is None or each[end] > 4 * each["steps"], (name, end)
        assert each["saturated small"] == 0
    assert answer.facts["tanh"]["saturated large"] > 0.9
    assert answer.figures["steps"].svg().startswith("<svg")
    assert "fastest at gain" in gain.page(answer)


def test_the_grid_looks_often_enough_to_tell_times_apart():
    steps = gain.grid("short").measure
    assert all(1.2 < later / sooner < 1.6 for sooner, later in itertools.pairwise(steps))
