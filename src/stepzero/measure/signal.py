"""Statistics of sampled signals, per unit, left on their device until the one transfer at the end.

Samples of one shape are summarised together. Legend of shapes: N samples, R rows (positions), U units, K projections.
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


def summary(samples_NRU: Tensor, plan: Plan, *, with_range: bool = False, with_off: bool = False) -> Tensor:
    """Summarise N samples of one plan as tables [N, rows, U] in float64.

    ``with_range`` adds low and high (activations), ``with_off`` (non-negative samples only) the share of exact zeros
    twice, which is both the flat and the off share of a ReLU's output. It needs the range before it.
    """
    wide_NRU = samples_NRU.to(wide(samples_NRU))
    projected = _with_places(plan, wide_NRU.device, wide_NRU.dtype) @ wide_NRU
    kept = PROJECTIONS + 1
    # Mean over places of (mean over batch entries) squared; the rest of the mean square varies by entry.
    place_means = projected[:, kept:] if projected.shape[1] > kept else projected[:, :1]
    # The widened copy is done with, unless it is the samples themselves: its memory holds the squares.
    squares_NRU = wide_NRU.square() if wide_NRU is samples_NRU else wide_NRU.square_()
    parts = [
        projected[:, :kept],
        squares_NRU.mean(1, keepdim=True),
        place_means.square().mean(1, keepdim=True),
    ]
    if with_range:
        # In the samples' own dtype, which is narrower: extremes and counts are exact in any.
        extremes = samples_NRU.amin(1, keepdim=True), samples_NRU.amax(1, keepdim=True)
        parts += [extreme.to(projected.dtype) for extreme in extremes]
    if with_off:
        # A comparison and its cast take eight times as long as signs.
        on = samples_NRU.sign().sum(1, keepdim=True, dtype=_counting(samples_NRU.dtype))
        off = 1 - on.to(projected.dtype) / plan.rows
        parts += [off, off]
    return torch.cat(parts, 1)


def _counting(dtype: torch.dtype) -> torch.dtype:
    """Half floats count to 256 or 2,048 only, single ones to 16 million."""
    return dtype if dtype == torch.float64 else torch.float32


@functools.lru_cache(maxsize=512)
def _with_places(plan: Plan, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`projector`, and below it one row a place that averages over batch entries, where there are several of both."""
    matrix = projector(plan.rows, device, dtype)
    if plan.samples == 1 or plan.places == 1:
        return matrix
    averages = torch.eye(plan.places, device=device, dtype=dtype).repeat(1, plan.samples) / plan.samples
    return torch.cat([matrix, averages])


def batch_share(mean_square: float, place_mean_square: float, samples: int) -> float | None:
    """Unbiased share of the mean square that varies over batch entries, clipped to 0..1; None with one entry."""
    if samples < 2 or not math.isfinite(mean_square):
        return None
    if mean_square == 0.0:
        return 0.0
    between = (mean_square - place_mean_square) * samples / (samples - 1)
    return min(1.0, max(0.0, between / mean_square))
