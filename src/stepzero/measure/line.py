"""A robust straight line through a few points."""

import statistics
from collections.abc import Sequence
from itertools import combinations


def robust_slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil-Sen: the median of the slopes between all pairs of points with different x; up to 29 % may be wild.

    Raises:
        statistics.StatisticsError: no two points differ in x.
    """
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if a[0] != b[0])
