"""How far attention logits spread over the keys of one query.

Only the part that differs between samples counts: distance biases and masks are the same for all of them.
Legend of shapes: S samples, P places (heads, queries), K keys.
"""

import math

import torch
from torch import Tensor

MASKED = 50.0
"""A logit this far below the largest of its row has no weight (2e-22): masks add -100, -1e4, -inf or the like."""
GAP, WIDE_GAP = 1.5, 3.0
"""Masked keys are a heap of their own, this many times as far down as the lowest of the others; the second where the
heap is small and may be the tail of the other."""
SURE = 1e-6
"""However wide scores are, they are one heap: of n that are spread evenly, the next is r times as far with probability
r^-n. A gap less likely than this is one between heaps."""
_HEAP = 12
"""Logits that are no tail."""
_FAR = 5e3
"""Where no row has two keys that are not masked there is no first heap: half of -1e4."""
_DENSE = 64
"""Logits behind `_FAR` that lie within a factor of `WIDE_GAP` when they are masked."""
_MOST = 4096
"""Logits that are looked at for the gap."""


def spread_over_keys(logits_SPK: Tensor) -> tuple[Tensor, Tensor] | None:
    """(standard deviation over the keys of a row, keys a row): scalars in float64; None with fewer than two samples.

    The mean over samples is taken out at each place and key, and the unbiased rest is what is left; keys that every
    sample masks do not count.
    """
    samples = logits_SPK.shape[0]
    if samples < 2:
        return None
    wide = logits_SPK.double()
    depth = wide.amax(-1, keepdim=True) - wide
    valid = (depth < _cut(depth)).to(wide.dtype)
    known = torch.where(valid > 0, wide, torch.zeros_like(wide))
    centred = (known - known.sum(0) / valid.sum(0).clamp(min=1)) * valid
    keys = valid.sum(-1, keepdim=True)
    centred = (centred - centred.sum(-1, keepdim=True) / keys.clamp(min=1)) * valid
    variance = centred.square().sum() / valid.sum() * samples / (samples - 1)
    return variance.sqrt(), keys.mean()


def _cut(depth_SPK: Tensor) -> Tensor:
    """How far below the largest of its row a logit is masked: a scalar, inf where nothing finite is."""
    flat = depth_SPK.flatten()
    step = max(1, len(flat) // _MOST)
    while math.gcd(step, depth_SPK.shape[-1]) > 1:  # or the same keys would be read in every row
        step += 1
    sorted_N = flat[::step].sort().values  # NaN (of rows that are -inf throughout) comes last
    low, high = sorted_N[:-1], sorted_N[1:]
    ratio = high / low
    is_heap = torch.arange(len(high), 0, -1, device=flat.device) >= _HEAP
    is_gap = (high >= MASKED) & (ratio >= torch.where(is_heap, GAP, WIDE_GAP))
    is_gap &= (low > 0).cumsum(0) * ratio.log() >= -math.log(SURE)
    inf = torch.full((), math.inf, dtype=flat.dtype, device=flat.device)
    cut = torch.where(is_gap, (low * high).sqrt(), inf).amin() if len(low) else inf
    return torch.minimum(cut, torch.where(_is_all_masked(sorted_N), _FAR, inf))


def _is_all_masked(sorted_N: Tensor) -> Tensor:
    """Whether next to nothing lies between the largest of its row and `_FAR`, and then all at once."""
    place = (sorted_N < _FAR).sum()
    last = (place + _DENSE).clamp(max=(sorted_N < math.inf).sum() - 1).clamp(min=0)
    ends = sorted_N.gather(0, torch.stack([place.clamp(max=len(sorted_N) - 1), last]))  # an index would be read back
    return (((sorted_N > 0) & (sorted_N < _FAR)).sum() <= 1) & (ends[1] <= WIDE_GAP * ends[0])


def logits_of(query: Tensor, key: Tensor, scale: float | None, *, samples: int, most: int) -> Tensor | None:
    """[S, 2, K]: logits of the last query of the first and the last head, against at most ``most`` keys.

    Shapes: query [B, ..., T, D], key [B, ..., K, D], perhaps with fewer heads; None for other layouts.
    """
    if query.dim() < 3 or key.dim() != query.dim() or query.shape[-1] != key.shape[-1] or 0 in query.shape:
        return None
    batch, width = min(samples, query.shape[0], key.shape[0]), query.shape[-1]
    q_SPTD = query.detach()[:batch].flatten(1, -3) if query.dim() > 3 else query.detach()[:batch, None]
    k_SPKD = key.detach()[:batch].flatten(1, -3) if key.dim() > 3 else key.detach()[:batch, None]
    step = max(1, k_SPKD.shape[2] // most)
    ends = [torch.einsum("sd,skd->sk", q_SPTD[:, end, -1], k_SPKD[:, end, ::step]) for end in (0, -1)]
    return torch.stack(ends, 1) * (scale if scale is not None else width**-0.5)
