"""Expectations under a normal law, by Gauss-Legendre panels that split where the integrand is not smooth.

Plain Gauss-Hermite is exact for polynomials only: its error for a squared derivative with a jump is 1e-2 and falls
slowly with the number of nodes. Here kinks are found by bisection. A panel is cut until its parts say together what
the whole said, so that jumps, kinks and steep parts end inside panels too narrow to matter.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

REACH = 12.0
"""Standard deviations on either side of the mean that are integrated over; beyond lies 4e-33 of the probability."""
_NEAR = 8.0
"""Deviations that fixed points reach to; beyond lies 1e-15 of the probability."""
_NODES = 64
_WIDTH = 1.0
_TOLERANCE = 1e-11
"""Largest doubt about one panel, as a share of the whole integral."""
_CUTS = 16
_PANELS = 2_000
"""Panels that may be in doubt at a time before the integrand counts as one that does not settle."""
_EDGE = 1e-10
"""Largest share of the integral that the two outermost panels may hold."""
_INSIDE = 1e-9
"""How far inside its panel an end is read, in widths: a jump exactly on the border belongs to neither side."""

Integrand = Callable[[Tensor], Tensor]


class Panels(NamedTuple):
    """Intervals [low, high] with their integrals and what the nodes may have missed at the ends, each [panels]."""

    low: Tensor
    high: Tensor
    integral: Tensor
    missed: Tensor

    def where(self, chosen: Tensor) -> "Panels":
        """Those that a boolean [panels] picks."""
        return Panels(*(column[chosen] for column in self))


def expectation(integrand: Integrand, *, mean: float = 0.0, variance: float = 1.0) -> float:
    """E f(z) with z ~ N(mean, variance), for an f that is nowhere negative; float64 [n] to [n].

    Relative error below 1e-9 for what is smooth between finitely many points. NaN where the integral does not settle,
    is not finite, or has not decayed at `REACH` standard deviations.
    """
    deviation = math.sqrt(variance)

    def weighted(u: Tensor) -> Tensor:
        return integrand(mean + deviation * u) * torch.exp(-u * u / 2) / math.sqrt(2 * math.pi)

    edges = torch.arange(-REACH, REACH + _WIDTH / 2, _WIDTH, dtype=torch.float64)
    panels = _measured(weighted, edges[:-1], edges[1:])
    total = float(panels.integral.sum())
    if not math.isfinite(total) or float(panels.integral[0] + panels.integral[-1]) > _EDGE * total:
        return math.nan
    return _refined(weighted, panels)


@functools.cache
def normal_points() -> tuple[Tensor, Tensor]:
    """Points u and weights w [n] with E f(u) = sum w f(u) for u ~ N(0, 1), for many functions at once.

    Nothing is cut: exact to rounding for what is smooth on the scale of one deviation and grows no faster than a power.
    A kink costs about a thousandth of what lies in its panel.
    """
    nodes, weights, _ = _legendre()
    centers = torch.arange(1 - _NEAR, _NEAR, 2, dtype=torch.float64)
    points = (centers[:, None] + nodes).flatten()
    density = weights.repeat(len(centers)) * torch.exp(-points * points / 2)
    return points, density / density.sum()


def _refined(weighted: Integrand, panels: Panels) -> float:
    """Sum over the panels, each cut until its parts agree with it: in two at first, as most do, then in eight."""
    settled = 0.0
    for cuts in range(_CUTS):
        count = 8 if cuts else 2
        parts = _cut(weighted, panels, count)
        integral, missed = parts.integral.reshape(-1, count).sum(1), parts.missed.reshape(-1, count).sum(1)
        total = settled + float(integral.sum())
        if not math.isfinite(total):
            return math.nan
        is_open = (integral - panels.integral).abs() + missed > _TOLERANCE * total
        settled += float(integral[~is_open].sum())
        if not bool(is_open.any()):
            return settled
        if int(is_open.sum()) > _PANELS:
            return math.nan
        panels = parts.where(is_open.repeat_interleave(count))
    return settled + float(panels.integral.sum())


def _cut(weighted: Integrand, panels: Panels, count: int) -> Panels:
    """``count`` equal parts of each panel, side by side."""
    shares = torch.arange(count + 1, dtype=torch.float64) / count
    edges = panels.low[:, None] + (panels.high - panels.low)[:, None] * shares
    return _measured(weighted, edges[:, :-1].flatten(), edges[:, 1:].flatten())


def _measured(weighted: Integrand, low: Tensor, high: Tensor) -> Panels:
    """Integrate each panel, and compare the values at its ends with those that the nodes foretell.

    Between an end and the nearest node is a gap in which a jump is seen by nothing else.
    """
    nodes, weights, ends = _legendre()
    center, half = (low + high) / 2, (high - low) / 2
    points = center[:, None] + half[:, None] * torch.cat([nodes, nodes.new_tensor([_INSIDE - 1, 1 - _INSIDE])])
    values = weighted(points.flatten()).reshape(points.shape)
    inner, outer = values[:, :_NODES], values[:, _NODES:]
    gap = float(1 - nodes[-1])
    missed = (outer - inner @ ends).abs().sum(1) * gap * half
    return Panels(low, high, inner @ weights * half, missed)


@functools.cache
def _legendre() -> tuple[Tensor, Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre on [-1, 1], and weights [nodes, 2] that extrapolate to both ends.

    By the eigenvalues of the Jacobi matrix (Golub & Welsch 1969). The values at the ends are those of the polynomial
    through the nodes, sum_k (2 k + 1) / 2 P_k(+-1) P_k(x) w.
    """
    k = torch.arange(1, _NODES, dtype=torch.float64)
    beside = k / torch.sqrt(4 * k * k - 1)
    nodes, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    weights = 2 * vectors[0].square()
    polynomials = [torch.ones_like(nodes), nodes]
    for order in range(1, _NODES - 1):
        last, before = polynomials[-1], polynomials[-2]
        polynomials.append(((2 * order + 1) * nodes * last - order * before) / (order + 1))
    orders = torch.arange(_NODES, dtype=torch.float64)
    at_ends = torch.stack([(-1.0) ** orders, torch.ones_like(orders)], 1) * (orders + 0.5)[:, None]
    return nodes, weights, weights[:, None] * (torch.stack(polynomials, 1) @ at_ends)
