"""Schemes for recurrent cells and state space models."""

import math
from typing import Literal

import torch
from torch import Generator, Tensor

from stepzero.schemes.drawing import dtype_of, write_
from stepzero.schemes.law import Blocks, Gain
from stepzero.schemes.orthogonal import orthogonal_
from stepzero.schemes.variance import glorot_


def recurrent_(
    tensor: Tensor,
    *,
    generator: Generator,
    slot: Literal["hidden", "input"] = "hidden",
    gates: Blocks = 1,
    gain: Gain = 1.0,
) -> Tensor:
    """A matrix of a recurrent cell, gate by gate: orthogonal from hidden to hidden, Glorot from input to hidden.

    Args:
        tensor: Filled in place, ``[gates * hidden, in]``.
        generator: Source of every draw.
        slot: ``hidden`` (``weight_hh``) or ``input`` (``weight_ih``, and ``weight_hr`` with one gate).
        gates: 4 for LSTM, 3 for GRU, 1 for a plain cell.
        gain: g.

    Returns:
        ``tensor``.

    Reference: Saxe, McClelland & Ganguli 2013, arXiv 1312.6120; Glorot & Bengio 2010, AISTATS.
    """
    if slot not in ("hidden", "input"):
        raise ValueError(f"slot: expected 'hidden' or 'input', got {slot!r}")
    if slot == "hidden":
        return orthogonal_(tensor, generator=generator, gain=gain, blocks=gates)
    return glorot_(tensor, generator=generator, gain=gain, blocks=gates)


def ssm_log_a_(tensor: Tensor, *, generator: Generator | None = None) -> Tensor:  # noqa: ARG001 - all are called alike
    """log(1), ..., log(N) along the last axis: the decay rates A = -(1..N) of a diagonal state space, as stored.

    Args:
        tensor: Filled in place, ``[..., N]``.
        generator: Not used.

    Returns:
        ``tensor``.

    Reference: Gu et al. 2022, arXiv 2206.11893; Gu & Dao 2023, arXiv 2312.00752.
    """
    if tensor.dim() < 1:
        raise ValueError("expected [..., N], got a scalar")
    rates = torch.arange(1, tensor.shape[-1] + 1, dtype=dtype_of(tensor))
    return write_(tensor, rates.log().expand(tensor.shape))


def ssm_dt_bias_(tensor: Tensor, *, generator: Generator, low: float = 1e-3, high: float = 0.1) -> Tensor:
    """The bias whose softplus is a step size dt with log dt ~ U(log low, log high).

    Args:
        tensor: Filled in place, any shape.
        generator: Source of every draw.
        low: Smallest step size.
        high: Largest step size.

    Returns:
        ``tensor``.

    Reference: Gu & Dao 2023, arXiv 2312.00752.
    """
    if not 0 < low <= high:
        raise ValueError(f"expected 0 < low <= high, got {low:g} and {high:g}")
    share = torch.rand(tensor.shape, generator=generator, dtype=dtype_of(tensor), device=generator.device)
    step = torch.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return write_(tensor, step + torch.log(-torch.expm1(-step)))  # the inverse of softplus
