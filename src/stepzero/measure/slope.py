"""The derivative of an elementwise function, by autograd: no table of bounds, so any callable will do."""

from collections.abc import Callable

import torch
from torch import Tensor

FLAT = 0.1
"""A position is flat when abs(phi'(z)) is below this share of the largest slope (Glorot & Bengio 2010)."""


def slope_at(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """phi'(z), same shape as ``z``. ``function`` must be elementwise."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return slope


def largest_slope(function: Callable[[Tensor], Tensor], z: Tensor) -> float:
    """Largest abs(phi') on -10..10, on the device and in the dtype of ``z``."""
    grid = torch.linspace(-10, 10, 4001, device=z.device, dtype=z.dtype)
    return float(slope_at(function, grid).abs().amax())


def flat_shares(slope_SU: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Per unit [U]: share of rows with abs(phi') < FLAT x largest, and share with phi' exactly zero."""
    magnitude = slope_SU.abs()
    kind = torch.float64 if slope_SU.device.type != "mps" else torch.float32
    return (magnitude < FLAT * largest).to(kind).mean(0), (magnitude == 0).to(kind).mean(0)
