"""The derivative of an elementwise function, by autograd: no table of bounds, so any callable will do."""

from collections.abc import Callable

import torch
from torch import Tensor

FLAT = 0.1
"""A position is flat when abs(phi'(z)) is below this share of the largest slope (Glorot & Bengio 2010)."""


def slope_at(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """phi'(z), same shape as ``z``. ``function`` must be elementwise."""
    # Own identity hooks: a checkpoint around the caller counts every tensor that autograd saves.
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_same, _same):
        leaf = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return slope


def _same(saved: Tensor) -> Tensor:
    return saved


def largest_slope(function: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """Largest abs(phi') on -10..10, on the device and in the dtype of ``like``.

    ``like`` is a row of units [U], or a matrix [R, U] when the function has parameters for each unit.
    """
    grid = torch.linspace(-10, 10, 2001, device=like.device, dtype=like.dtype)
    if like.dim() == 2:
        grid = grid[::4, None].expand(-1, like.shape[1]).contiguous()
    return float(slope_at(function, grid).abs().amax())


def flat_shares(slope_SU: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Per unit [U]: share of rows with abs(phi') < FLAT x largest, and share with phi' exactly zero."""
    magnitude = slope_SU.abs()
    kind = torch.float64 if slope_SU.device.type != "mps" else torch.float32
    return (magnitude < FLAT * largest).to(kind).mean(0), (magnitude == 0).to(kind).mean(0)
