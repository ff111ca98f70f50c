import functools

import pytest

from stepzero import lab
from stepzero.lab.studies import trainable_depth


@pytest.mark.parametrize(
    ("variance", "length"),
    [(0.25, 0.67), (1.0, 3.63), (1.3, 7.83), (1.5, 15.8), (1.7, 74.9), (2.0, 25.2), (2.5, 11.8), (4.0, 6.98)],
)
def test_correlation_lengths_are_those_of_the_theory(variance, length):
    assert trainable_depth.correlation_length(variance) == pytest.approx(length, rel=0.01)


@pytest.mark.slow
def test_the_deepest_that_learns_follows_the_line_and_peaks_at_the_edge(tmp_path):
    answer = trainable_depth.run("short", functools.partial(lab.run, store=tmp_path / "lab.sqlite", workers=2))
    assert answer.facts["rank correlation"] > 0.7
    assert 1.3 <= answer.facts["peak"] <= 2.5
    assert "peak at a variance" in trainable_depth.page(answer)
