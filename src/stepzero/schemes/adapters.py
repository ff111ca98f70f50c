"""Schemes for adapters and mixtures of experts."""

import math

from torch import Generator, Tensor

from stepzero.schemes.drawing import Distribution
from stepzero.schemes.law import fill_
from stepzero.schemes.variance import torch_default_


def lora_a_(tensor: Tensor, *, generator: Generator, fan_in: float | None = None) -> Tensor:
    """First factor of a low-rank adapter: U(-1 / sqrt(n), 1 / sqrt(n)), variance 1 / (3 n); the second is `zeros_`.

    Args:
        tensor: Filled in place, ``[rank, in]``.
        generator: Source of every draw.
        fan_in: n; read from the last axis when None.

    Returns:
        ``tensor``.

    Reference: Hu et al. 2021, arXiv 2106.09685, and its code, which draws by kaiming_uniform with slope sqrt(5).
    """
    return torch_default_(tensor, generator=generator, fan_in=fan_in)


def lora_scale(alpha: float, rank: int, *, stabilised: bool = False) -> float:
    """Multiplier of a low-rank update: alpha / rank, or alpha / sqrt(rank), which keeps its scale as the rank grows.

    Reference: Hu et al. 2021, arXiv 2106.09685; stabilised: Kalajdzievski 2023, arXiv 2312.03732.
    """
    if rank < 1:
        raise ValueError(f"rank: expected 1 or more, got {rank}")
    return alpha / math.sqrt(rank) if stabilised else alpha / rank


def experts_(
    tensor: Tensor,
    *,
    generator: Generator,
    fan_in: float,
    scale: float = 0.1,
    distribution: Distribution = "truncated",
) -> Tensor:
    """Experts fused in one tensor: variance scale / n, truncated at two deviations; the first axis counts experts.

    Whether a slice is ``[in, out]`` or ``[out, in]`` only the operation tells, so n has to be stated. Experts with
    generators of their own (`generator_for` with ``expert=``) are filled slice by slice: ``tensor[e]``.

    Args:
        tensor: Filled in place, ``[experts, ...]``, or the slice of one expert.
        generator: Source of every draw.
        fan_in: n of one expert.
        scale: Variance times n, 0.1 as commonly stated.
        distribution: ``normal``, ``uniform`` or ``truncated``.

    Returns:
        ``tensor``.

    Reference: Fedus, Zoph & Shazeer 2021, arXiv 2101.03961.
    """
    if distribution == "orthogonal":
        raise ValueError("distribution: orthogonal would mix the experts' axis in; use orthogonal_ on each expert")
    return fill_(
        tensor, lambda fans: math.sqrt(scale / fans.n), generator=generator, fan_in=fan_in, distribution=distribution
    )
