"""The exponent of a power law, by least squares in logarithms, with Student's interval."""

import math
from collections.abc import Sequence


def exponent(points: Sequence[tuple[float, float]], confidence: float) -> tuple[float, float, float]:
    """Slope of log2 y over log2 x, and the ends of its confidence interval.

    Args:
        points: (x, y), all positive; at least two different x.
        confidence: probability that the interval covers the slope, 0 to 1. What the line does not fit (curvature)
            counts as noise, and widens it. With two points alone the interval is infinite.

    Returns:
        (slope, low, high).
    """
    xs, ys = [math.log2(x) for x, _ in points], [math.log2(y) for _, y in points]
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    spread = math.fsum((x - mean_x) ** 2 for x in xs)
    if not spread:
        raise ValueError("points: expected at least two different x")
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    freedom = len(points) - 2
    if freedom < 1:
        return slope, -math.inf, math.inf
    rest = math.fsum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    half = student_quantile(confidence, freedom) * math.sqrt(rest / freedom / spread)
    return slope, slope - half, slope + half


def student_quantile(confidence: float, freedom: int) -> float:
    """T with P(abs(T) < t) = confidence, for Student's distribution with ``freedom`` degrees of freedom."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence:g}")
    # T = sqrt(freedom) tan(a): the density of the angle a is proportional to cos(a)^(freedom - 1), and bounded.
    low, high = 0.0, math.pi / 2
    whole = _area(high, freedom)
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if _area(middle, freedom) < confidence * whole else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _area(angle: float, freedom: int) -> float:
    """Integral of cos(a)^(freedom - 1) from 0 to ``angle``, by Simpson's rule."""
    pieces = 2 * (100 + math.isqrt(100 * freedom))  # the density is 1 / sqrt(freedom) wide
    step = angle / pieces
    heights = [math.cos(index * step) ** (freedom - 1) for index in range(pieces + 1)]
    return step / 3 * (heights[0] + 4 * math.fsum(heights[1:-1:2]) + 2 * math.fsum(heights[2:-1:2]) + heights[-1])
