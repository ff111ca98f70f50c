"""How far attention logits spread over the keys of one query.

Only the part that differs between samples counts: distance biases and masks are the same for all of them.
Legend of shapes: S samples, P places (heads, queries), K keys.
"""

import torch
from torch import Tensor

MASKED = 50.0
"""A logit this far below the largest of its row has no weight (2e-22): masks add -100, -1e4, -inf or the like."""


def spread_over_keys(logits_SPK: Tensor) -> tuple[Tensor, Tensor] | None:
    """(standard deviation over the keys of a row, keys a row): scalars in float64; None with fewer than two samples.

    The mean over samples is taken out at each place and key, and the unbiased rest is what is left; keys that every
    sample masks do not count.
    """
    samples = logits_SPK.shape[0]
    if samples < 2:
        return None
    wide = logits_SPK.double()
    valid = (wide > wide.amax(-1, keepdim=True) - MASKED).to(wide.dtype)
    known = torch.where(valid > 0, wide, torch.zeros_like(wide))
    centred = (known - known.sum(0) / valid.sum(0).clamp(min=1)) * valid
    keys = valid.sum(-1, keepdim=True)
    centred = (centred - centred.sum(-1, keepdim=True) / keys) * valid
    variance = centred.square().sum() / valid.sum() * samples / (samples - 1)
    return variance.sqrt(), keys.mean()


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
