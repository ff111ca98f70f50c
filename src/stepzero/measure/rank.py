"""Entropy rank: over how many directions the responses of a layer are spread."""

import torch
from torch import Tensor


def entropy_rank(samples_RU: Tensor) -> Tensor:
    """Exponential of the entropy of the shares that the principal directions have in the variance of [R, U].

    Returns a scalar on the same device, 1 to min(R - 1, U); 0 when nothing varies, NaN when something is not finite.
    Roy & Vetterli 2007, of the centred responses: p_i = lambda_i / sum(lambda), rank = exp(-sum p_i ln p_i).
    """
    dtype = torch.float32 if samples_RU.device.type == "mps" else torch.float64
    wide = samples_RU.to(dtype)
    centred = wide - wide.mean(0)
    if not bool(centred.isfinite().all()):
        return wide.new_full((), torch.nan)
    smaller = centred if centred.shape[0] <= centred.shape[1] else centred.T
    values = torch.linalg.eigvalsh(smaller @ smaller.T).clamp_min(0)
    # What rounding leaves of a mean that was taken off is no variance.
    floor = wide.square().sum() * (16 * torch.finfo(samples_RU.dtype).eps) ** 2
    total = values.sum()
    shares = values / total.clamp_min(torch.finfo(dtype).tiny)
    return torch.where(total > floor, torch.exp(torch.special.entr(shares).sum()), torch.zeros_like(total))
