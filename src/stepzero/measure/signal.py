"""Statistics of sampled signals, per unit, left on their device until the one transfer at the end.

Samples of as many rows are summarised together, side by side. Legend of shapes: R rows (positions), U units of all of
them, K projections.
"""

import functools
import math

import torch
from torch import Tensor

from stepzero.measure.sampling import Plan, wide

PROJECTIONS = 4
"""Fingerprints of the first pass only raise suspicion (the symmetry probe confirms in float64 with 16)."""
MEAN, SQUARE, PLACE, LOW, HIGH, FLAT, OFF = 0, *range(PROJECTIONS + 1, PROJECTIONS + 7)
"""Rows of a table: mean, K fingerprints, mean square; forward adds place mean square, activations range and slopes."""


@functools.lru_cache(maxsize=256)
def projector(rows: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[1 + K, R]: first row averages, the others are +-1/sqrt(R), the same for every tensor with R rows."""
    generator = torch.Generator().manual_seed(0x5EED + rows)
    signs = torch.randint(0, 2, (PROJECTIONS, rows), generator=generator, dtype=torch.float64) * 2 - 1
    matrix = torch.cat([torch.full((1, rows), 1 / rows, dtype=torch.float64), signs / math.sqrt(rows)])
    return matrix.to(device=device, dtype=dtype)


def summary(samples_RU: Tensor, plan: Plan, *, with_range: bool = False, with_off: bool = False) -> Tensor:
    """Summarise samples of as many rows, side by side, as one table [rows, U] in float64; ``plan``: that of any.

    ``with_range`` adds low and high (activations), ``with_off`` (non-negative samples only) the share of exact zeros
    twice, which is both the flat and the off share of a ReLU's output. It needs the range before it.
    """
    wide_RU = samples_RU.to(wide(samples_RU))
    projected = _with_places(plan.rows, plan.samples, wide_RU.device, wide_RU.dtype) @ wide_RU
    kept = PROJECTIONS + 1
    # Mean over places of (mean over batch entries) squared; the rest of the mean square varies by entry.
    place_means = projected[kept:] if len(projected) > kept else projected[:1]
    # The widened copy is done with, unless it is the samples themselves: its memory holds the squares.
    squares_RU = wide_RU.square() if wide_RU is samples_RU else wide_RU.square_()
    parts = [
        projected[:kept],
        squares_RU.mean(0, keepdim=True),
        place_means.square().mean(0, keepdim=True),
    ]
    if with_range:
        # In the samples' own dtype, which is narrower: extremes and counts are exact in any.
        extremes = samples_RU.amin(0, keepdim=True), samples_RU.amax(0, keepdim=True)
        parts += [extreme.to(projected.dtype) for extreme in extremes]
    if with_off:
        # A comparison and its cast take eight times as long as signs.
        on = samples_RU.sign().sum(0, keepdim=True, dtype=_counting(samples_RU.dtype))
        off = 1 - on.to(projected.dtype) / plan.rows
        parts += [off, off]
    return torch.cat(parts)


def _counting(dtype: torch.dtype) -> torch.dtype:
    """Half floats count to 256 or 2,048 only, single ones to 16 million."""
    return dtype if dtype == torch.float64 else torch.float32


@functools.lru_cache(maxsize=512)
def _with_places(rows: int, samples: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`projector`, and below it one row a place that averages over batch entries, where there are several of both."""
    matrix, places = projector(rows, device, dtype), rows // samples
    if samples == 1 or places == 1:
        return matrix
    averages = torch.eye(places, device=device, dtype=dtype).repeat(1, samples) / samples
    return torch.cat([matrix, averages])


def batch_share(mean_square: float, place_mean_square: float, samples: int) -> float | None:
    """Unbiased share of the mean square that varies over batch entries, clipped to 0..1; None with one entry."""
    if samples < 2 or not math.isfinite(mean_square):
        return None
    if mean_square == 0.0:
        return 0.0
    between = (mean_square - place_mean_square) * samples / (samples - 1)
    return min(1.0, max(0.0, between / mean_square))
