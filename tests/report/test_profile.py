"""The chart by depth: points inside its frame, on a logarithmic scale."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.report.profile import HEIGHT, MOST, WIDTH, profile
from tests.report.samples import row


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.points.split()]


def rows(values):
    return [
        row(number, f"l.{number}.weight", signal_out=value, gradient_to_weight=None)
        for number, value in enumerate(values)
    ]


def test_equal_factors_are_equal_steps_down():
    (line,) = profile(rows([100.0, 10.0, 1.0]), {})
    assert (line.low, line.high) == ("1e0", "1e2")
    assert points(line) == [(0.0, 0.0), (WIDTH / 2, HEIGHT / 2), (WIDTH, HEIGHT)]


@given(st.lists(st.floats(1e-30, 1e30) | st.none() | st.just(0.0) | st.just(float("inf")), min_size=1, max_size=40))
def test_points_stay_in_the_frame_and_go_right(values):
    for line in profile(rows(values), {}):
        xs, ys = zip(*points(line), strict=True)
        assert all(0 <= y <= HEIGHT for y in ys)
        assert list(xs) == sorted(xs)
        assert 0 <= min(xs) <= max(xs) <= WIDTH


@pytest.mark.parametrize("values", [[], [1.0], [None, None], [0.0, 0.0]])
def test_without_two_numbers_there_is_no_line(values):
    assert profile(rows(values), {}) == ()


def test_what_findings_name_is_dotted_in_its_severity():
    (line,) = profile(rows([1.0, 2.0, 3.0]), {1: "error"})
    ((x, _, severity),) = line.dots
    assert (x, severity) == (WIDTH / 2, "error")


def test_of_many_layers_some_are_drawn():
    lines = profile(rows([float(number + 1) for number in range(10 * MOST)]), {})
    assert len(points(lines[0])) <= MOST


def test_two_quantities():
    both = [replace(each, gradient_to_weight=0.1) for each in rows([1.0, 2.0])]
    assert [line.title.split()[2] for line in profile(both, {})] == ["the", "the"]
