import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.measure.line import robust_slope

numbers = st.floats(-10, 10)


@given(numbers, numbers, st.integers(2, 12))
def test_a_line_is_recovered(slope, offset, count):
    points = [(float(x), slope * x + offset) for x in range(count)]
    assert robust_slope(points) == pytest.approx(slope, abs=1e-9)


@given(numbers, st.floats(-1e6, 1e6))
def test_one_wild_point_in_eight_does_not_matter(slope, wild):
    points = [(float(x), slope * x) for x in range(8)]
    points[3] = (3.0, wild)
    assert robust_slope(points) == pytest.approx(slope, abs=1e-9)


def test_points_at_one_place_have_no_slope():
    with pytest.raises(statistics.StatisticsError):
        robust_slope([(1.0, 2.0), (1.0, 3.0)])
