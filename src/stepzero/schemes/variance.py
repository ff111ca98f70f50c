"""Schemes that set the variance from the fans.

n is fan-in, m fan-out, g the gain. All take ``fan_in`` and ``fan_out``; when they are None, the layout
``[out, in, *kernel]`` of Linear and of a convolution with stride 1 and one group is read. Biases, embeddings, grouped,
strided and transposed convolutions, experts and ``[in, out]`` layouts need their fans stated.
"""

import math

import torch
from torch import Generator, Tensor

from stepzero.schemes.drawing import CUT, Distribution, draw_, dtype_of, write_
from stepzero.schemes.law import Blocks, Fans, Gain, Mode, fill_, gain_number


def lecun_(
    tensor: Tensor,
    *,
    generator: Generator,
    fan_in: float | None = None,
    fan_out: float | None = None,
    gain: Gain = 1.0,
    mode: Mode = "in",
    distribution: Distribution = "normal",
    blocks: Blocks = 1,
    cut: float = CUT,
) -> Tensor:
    """Variance g^2 / n with g = 1: SELU, scaled tanh, linear layers, layers behind a norm.

    Args:
        tensor: Filled in place; any float dtype, any device.
        generator: Source of every draw.
        fan_in: n; read from ``[out, in, *kernel]`` when None.
        fan_out: m; likewise.
        gain: g, or the activation whose exact gain it is: the backward one with ``mode="out"``, else the forward one.
        mode: What the variance is divided by: n, m, (n + m) / 2 or sqrt(n m).
        distribution: ``normal``, ``uniform``, ``truncated`` (its deviation corrected) or ``orthogonal``.
        blocks: Equal blocks packed along the first axis, or their sizes, each with its own fans.
        cut: Where the truncated normal ends, in its deviations before the cut.

    Returns:
        ``tensor``.

    Reference: LeCun, Bottou, Orr & Mueller 1998, Efficient BackProp, section 4.6.
    """
    g = gain_number(gain, mode)
    return fill_(
        tensor, lambda fans: g / math.sqrt(fans.of(mode)), generator=generator, fan_in=fan_in, fan_out=fan_out,
        distribution=distribution, blocks=blocks, cut=cut,
    )  # fmt: skip


def he_(
    tensor: Tensor,
    *,
    generator: Generator,
    fan_in: float | None = None,
    fan_out: float | None = None,
    gain: Gain = "relu",
    mode: Mode = "in",
    distribution: Distribution = "normal",
    blocks: Blocks = 1,
    cut: float = CUT,
) -> Tensor:
    """Variance g^2 / n, or g^2 / m with ``mode="out"``; g^2 = 2 for ReLU, 2 / (1 + a^2) for a leaky one.

    Args:
        tensor: Filled in place.
        generator: Source of every draw.
        fan_in: n; read from ``[out, in, *kernel]`` when None.
        fan_out: m; likewise.
        gain: The activation (name, callable, module), or its gain as a number.
        mode: What the variance is divided by: n, m, (n + m) / 2 or sqrt(n m).
        distribution: As for `lecun_`.
        blocks: As for `lecun_`.
        cut: As for `lecun_`.

    Returns:
        ``tensor``.

    Reference: He, Zhang, Ren & Sun 2015, arXiv 1502.01852.
    """
    return lecun_(
        tensor, generator=generator, fan_in=fan_in, fan_out=fan_out, gain=gain, mode=mode, distribution=distribution,
        blocks=blocks, cut=cut,
    )  # fmt: skip


def glorot_(
    tensor: Tensor,
    *,
    generator: Generator,
    fan_in: float | None = None,
    fan_out: float | None = None,
    gain: Gain = 1.0,
    distribution: Distribution = "normal",
    blocks: Blocks = 1,
    cut: float = CUT,
) -> Tensor:
    """Variance 2 g^2 / (n + m): between what the signal and what the gradient asks for, for symmetric activations.

    Args and returns: as for `lecun_`. Reference: Glorot & Bengio 2010, AISTATS.
    """
    return lecun_(
        tensor, generator=generator, fan_in=fan_in, fan_out=fan_out, gain=gain, mode="avg", distribution=distribution,
        blocks=blocks, cut=cut,
    )  # fmt: skip


def selu_(
    tensor: Tensor,
    *,
    generator: Generator,
    fan_in: float | None = None,
    distribution: Distribution = "normal",
    blocks: Blocks = 1,
) -> Tensor:
    """Variance 1 / n for SELU networks with standardised inputs.

    Args and returns: as for `lecun_`. Reference: Klambauer et al. 2017, arXiv 1706.02515.
    """
    return lecun_(tensor, generator=generator, fan_in=fan_in, distribution=distribution, blocks=blocks)


def torch_default_(tensor: Tensor, *, generator: Generator, fan_in: float | None = None) -> Tensor:
    """U(-1 / sqrt(n), 1 / sqrt(n)), variance 1 / (3 n): what `nn.Linear` and `nn.Conv2d` draw, weights and biases.

    To reproduce, not to recommend. A bias takes the ``fan_in`` of its layer. Args and returns: as for `lecun_`.
    Reference: the source of torch, ``reset_parameters``.
    """
    return lecun_(tensor, generator=generator, fan_in=fan_in, gain=1 / math.sqrt(3), distribution="uniform")


def siren_(
    tensor: Tensor, *, generator: Generator, fan_in: float | None = None, first: bool = False, w0: float = 30.0
) -> Tensor:
    """Sine networks: U(+-1 / n) in the first layer, U(+-sqrt(6 / n) / w0) in the others.

    Args:
        tensor: Filled in place.
        generator: Source of every draw.
        fan_in: n; read from ``[out, in, *kernel]`` when None.
        first: Whether the layer reads the coordinates.
        w0: Frequency by which the network multiplies before each sine.

    Returns:
        ``tensor``.

    Reference: Sitzmann et al. 2020, arXiv 2006.09661.
    """

    def std(fans: Fans) -> float:
        half = 1 / fans.n if first else math.sqrt(6 / fans.n) / w0
        return half / math.sqrt(3)

    return fill_(tensor, std, generator=generator, fan_in=fan_in, distribution="uniform")


def spectral_(
    tensor: Tensor,
    *,
    generator: Generator,
    fan_in: float | None = None,
    fan_out: float | None = None,
    gain: Gain = 1.0,
    distribution: Distribution = "normal",
    blocks: Blocks = 1,
) -> Tensor:
    """Standard deviation g / sqrt(n) * min(1, sqrt(m / n)): a spectral norm of order sqrt(m / n) at any width.

    Args and returns: as for `lecun_`. Reference: Yang, Simon & Bernstein 2023, arXiv 2310.17813.
    """
    g = gain_number(gain)
    return fill_(
        tensor, lambda fans: g / math.sqrt(fans.n) * min(1.0, math.sqrt(fans.m / fans.n)), generator=generator,
        fan_in=fan_in, fan_out=fan_out, distribution=distribution, blocks=blocks,
    )  # fmt: skip


def ntk_(tensor: Tensor, *, generator: Generator, distribution: Distribution = "normal") -> Tensor:
    """Variance 1; the forward pass multiplies by 1 / sqrt(n). For experiments on kernels.

    Args and returns: as for `lecun_`. Reference: Jacot, Gabriel & Hongler 2018, arXiv 1806.07572.
    """
    return constant_std_(tensor, generator=generator, std=1.0, distribution=distribution)


def constant_std_(
    tensor: Tensor,
    *,
    generator: Generator,
    std: float = 0.02,
    distribution: Distribution = "normal",
    blocks: Blocks = 1,
    cut: float = CUT,
) -> Tensor:
    """Standard deviation ``std``, whatever the fans; `stepzero.schemes` computes some (`small_init`, `depth_gpt2`).

    Args and returns: as for `lecun_`. Reference for 0.02: Radford et al. 2018, GPT.
    """
    return fill_(tensor, lambda _: std, generator=generator, distribution=distribution, blocks=blocks, cut=cut)


def sparse_(tensor: Tensor, *, generator: Generator, incoming: int = 15, std: float = 1.0) -> Tensor:
    """Each unit (first axis) reads ``incoming`` randomly chosen inputs with weights N(0, std^2); the rest is 0.

    Args:
        tensor: Filled in place, ``[out, in, ...]``.
        generator: Source of every draw.
        incoming: Non-zero weights of a unit, or all of them where it has fewer.
        std: Standard deviation of those.

    Returns:
        ``tensor``.

    Reference: Martens 2010, ICML; Sutskever et al. 2013, ICML.
    """
    dtype = dtype_of(tensor)
    if tensor.dim() < 2 or incoming < 1:
        raise ValueError(f"expected two axes or more and incoming >= 1, got {tuple(tensor.shape)} and {incoming}")
    if tensor.numel() == 0:
        return tensor
    flat = torch.zeros(tensor.shape, dtype=dtype, device=generator.device).flatten(1)
    order = torch.rand(flat.shape, generator=generator, dtype=dtype, device=generator.device)
    chosen = order.topk(min(incoming, flat.shape[1]), dim=1).indices
    weights = draw_(torch.empty(chosen.shape, dtype=dtype, device=generator.device), std, generator=generator)
    return write_(tensor, flat.scatter_(1, chosen, weights).reshape(tensor.shape))
