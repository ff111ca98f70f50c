"""Activations as elementwise functions of float64 numbers, and refusals where they are not elementwise."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = str | Callable[[Tensor], Tensor]
"""A name (``"gelu"``), an elementwise callable or a module."""

_FAILURES = (RuntimeError, TypeError, ValueError, IndexError, AttributeError)
_PROBES = 62
"""Points at which a callable is tried: no power of two, so that vector code and its remainder are both seen."""
_ROUNDING = 1e-9
"""Largest relative difference between two evaluations of one number in float64."""


def as_function(phi: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``phi`` on float64 numbers of the processor; a module as its copy in eval mode, a PReLU at its current slope.

    Each channel of a PReLU has its own slope; second moments average over them, which is what one slope of their root
    mean square does, forward and backward.
    """
    if isinstance(phi, nn.PReLU):
        slope = float(phi.weight.detach().double().square().mean().sqrt())
        return lambda z: torch.where(z > 0, z, slope * z)
    if isinstance(phi, nn.Module):
        return copy.deepcopy(phi).eval().double().cpu()
    return phi


def check_elementwise(phi: Callable[[Tensor], Tensor], name: str) -> None:
    """ValueError when ``phi`` fails on a vector, changes its shape, is random or mixes its elements.

    The global generator is put back where a random ``phi`` found it.
    """
    z = torch.linspace(-2.9, 3.1, _PROBES, dtype=torch.float64)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        whole = _tried(phi, z, name)
        if whole.shape != z.shape:
            raise ValueError(
                f"{name} turns a vector of {len(z)} numbers into shape {tuple(whole.shape)}; "
                "an elementwise activation keeps the shape (for gated units see `glu_gain`)"
            )
        if not _same(_tried(phi, z, name), whole):
            raise ValueError(f"{name} is random: two calls on the same numbers differ; a gain needs a fixed function")
        if not (_same(_tried(phi, z[:7], name), whole[:7]) and _same(_tried(phi, z.flip(0), name), whole.flip(0))):
            raise ValueError(f"{name} mixes its elements: what one becomes depends on the others; it has no gain")


def _tried(phi: Callable[[Tensor], Tensor], z: Tensor, name: str) -> Tensor:
    try:
        result = phi(z.clone())
    except _FAILURES as problem:
        reason = str(problem).strip().partition("\n")[0]
        raise ValueError(f"{name} cannot be called on a vector of float64 numbers: {reason}") from problem
    if not isinstance(result, Tensor):
        raise ValueError(f"{name} returns {type(result).__name__}, expected a tensor")
    return result


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)


def derivative(phi: Callable[[Tensor], Tensor], z: Tensor, name: str) -> Tensor:
    """Slope phi' at each of ``z``, [n], as backward computes it."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        response = phi(z * 1.0)  # a copy: in-place activations may not write into a leaf
        if not response.requires_grad:
            raise ValueError(f"{name} passes no gradient back, so it has no backward gain")
        (slope,) = torch.autograd.grad(response.sum(), z)
    return slope.detach()


def described(phi: Activation) -> str:
    """How messages call ``phi``."""
    if isinstance(phi, str):
        return repr(phi)
    return type(phi).__name__ if isinstance(phi, nn.Module) else getattr(phi, "__name__", type(phi).__name__)


def is_gain(moment: float) -> bool:
    """Whether a second moment has a reciprocal root."""
    return math.isfinite(moment) and moment > 0
