"""How coordinates follow the width: verdicts from their sizes at several widths, seeds and steps.

Under the maximal update parametrisation every activation keeps its size as the width n grows, and so does the change
that training makes to it. A wrong factor multiplies one of them by n^(1/2) or n, up or down. Source: Yang et al. 2022,
arXiv 2203.03466, appendix D. Two things that shrink are no fault:

* the output at the start, by n^(-1/2), since it is a sum of n terms of size 1/n with random signs;
* a change W' x while the update W' is not yet aligned with x, by up to n^(-1/2) in models that are narrow against the
  number of samples. Whether it vanishes for good shows in its reach, n rms(W') rms(x): its size with both aligned.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stepzero.core.coordinates import Place, Slope, Verdict
from stepzero.core.limits import Limits
from stepzero.measure.power import exponent

UNALIGNED = 0.5
"""Exponent by which sums of n terms with random signs fall behind sums of n equal ones."""


@dataclass(slots=True)
class History:
    """One place in one model."""

    sizes: list[float] = field(default_factory=list)
    """rms of the activation at step 0, then of its change after each step; of logits, their reach at each step."""
    reach: list[float] = field(default_factory=list)
    """Of the change that the weight there makes, at each step; empty where no weight is."""


_Sizes = Mapping[tuple[int, int], Sequence[float]]
Histories = Mapping[tuple[int, int], History]
"""By (width, seed)."""


def judged(name: str, kind: str, histories: Histories, limits: Limits) -> Place:
    """The verdict on one place.

    ``explodes`` when the slope of any step, the start included, is above the limit with its whole interval above the
    noise of finite widths. ``vanishes`` when that of the last step is below in the same way, and so is its reach;
    where no reach is known, when it is so by more than a lack of alignment explains.
    """
    sizes = {key: history.sizes for key, history in histories.items()}
    steps = len(next(iter(sizes.values())))
    slopes = tuple(slope for step in range(steps) if (slope := _slope(sizes, step, limits)) is not None)
    reach = _slope({key: history.reach for key, history in histories.items()}, steps - 1, limits)
    verdict, decisive = _verdict(slopes, reach, is_logits=kind == "logits", limits=limits)
    means = tuple((step, _means(sizes, step)) for step in range(steps))
    return Place(name, kind, verdict, decisive, slopes, reach, means)


def _verdict(
    slopes: tuple[Slope, ...], reach: Slope | None, *, is_logits: bool, limits: Limits
) -> tuple[Verdict, Slope | None]:
    changes = [slope for slope in slopes if slope.step]
    growing = [slope for slope in slopes if _is_steep(slope.value, slope.low, limits)]
    if growing:
        return "explodes", max(growing, key=lambda slope: slope.value)
    if not changes:
        return "unmoved", None
    last = changes[-1]
    is_late = reach is None and not is_logits
    shift = UNALIGNED if is_late else 0.0
    is_falling = _is_steep(-last.value - shift, -last.high - shift, limits)
    is_out_of_reach = reach is None or _is_steep(-reach.value, -reach.high, limits)
    return ("vanishes" if is_falling and is_out_of_reach else "stable"), last


def _is_steep(slope: float, nearest: float, limits: Limits) -> bool:
    return slope > limits.coordinate_slope and nearest > limits.coordinate_noise


def _slope(sizes: _Sizes, step: int, limits: Limits) -> Slope | None:
    """None where a size is zero or missing, or not finite already in the narrowest model."""
    if any(len(values) <= step for values in sizes.values()):
        return None
    points = [(width, values[step]) for (width, _), values in sizes.items()]
    narrowest = min(width for width, _ in points)
    if not all(math.isfinite(size) for _, size in points):
        is_born_so = any(not math.isfinite(size) for width, size in points if width == narrowest)
        return None if is_born_so else Slope(step, math.inf, math.inf, math.inf)
    if not all(size > 0 for _, size in points):
        return None
    return Slope(step, *exponent(points, limits.coordinate_confidence))


def _means(sizes: _Sizes, step: int) -> tuple[float, ...]:
    """Geometric mean over seeds at each width, rising."""
    by_width: dict[int, list[float]] = {}
    for (width, _), values in sizes.items():
        by_width.setdefault(width, []).append(values[step])
    return tuple(_geometric(by_width[width]) for width in sorted(by_width))


def _geometric(values: list[float]) -> float:
    if not all(math.isfinite(value) for value in values):
        return math.nan
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if all(value > 0 for value in values) else 0.0
