"""Identity-like schemes and fixed kernels. Most draw nothing; all take a generator, so that all are called alike."""

import math

import torch
from torch import Generator, Tensor

from stepzero.schemes.drawing import draw_, dtype_of, write_
from stepzero.schemes.law import Gain, gain_number
from stepzero.schemes.variance import he_


def zeros_(tensor: Tensor, *, generator: Generator | None = None) -> Tensor:  # noqa: ARG001 - all are called alike
    """All zero: the branch ends of zero-gamma, ReZero, adaLN-zero, zero convolutions, LoRA's second factor, heads.

    Fine where something else already tells the units apart and the other factor of the product is not zero.

    Args:
        tensor: Filled in place.
        generator: Not used.

    Returns:
        ``tensor``.

    Reference: Goyal et al. 2017, arXiv 1706.02677; Bachlechner et al. 2020, arXiv 2003.04887; Peebles & Xie 2022,
    arXiv 2212.09748; Zhang, Rao & Agrawala 2023, arXiv 2302.05543.
    """
    return write_(tensor, torch.zeros(tensor.shape, dtype=dtype_of(tensor)))


def identity_(tensor: Tensor, *, generator: Generator | None = None, gain: Gain = 1.0) -> Tensor:  # noqa: ARG001 - all are called alike
    """W = g I, cut to the shape where it is not square: recurrent matrices of ReLU cells with zero bias, adapters.

    Args:
        tensor: Filled in place, ``[out, in]``.
        generator: Not used.
        gain: g.

    Returns:
        ``tensor``.

    Reference: Le, Jaitly & Hinton 2015, arXiv 1504.00941.
    """
    if tensor.dim() != 2:
        raise ValueError(f"expected a matrix, got shape {tuple(tensor.shape)}; for kernels see dirac_")
    return write_(tensor, gain_number(gain) * torch.eye(*tensor.shape, dtype=dtype_of(tensor)))


def dirac_(tensor: Tensor, *, generator: Generator | None = None, gain: Gain = 1.0, groups: int = 1) -> Tensor:  # noqa: ARG001 - all are called alike
    """A convolution that hands its input through: g I at the centre tap, group by group, zero elsewhere.

    Args:
        tensor: Filled in place, ``[out, in / groups, *kernel]``.
        generator: Not used.
        gain: g.
        groups: Groups of the convolution.

    Returns:
        ``tensor``.

    Reference: Zagoruyko & Komodakis 2017, arXiv 1706.00388.
    """
    if tensor.dim() < 3 or groups < 1 or tensor.shape[0] % groups:
        raise ValueError(f"expected [out, in / groups, *kernel], got shape {tuple(tensor.shape)} and groups={groups}")
    values = torch.zeros(tensor.shape, dtype=dtype_of(tensor))
    rows = tensor.shape[0] // groups
    centre(values).copy_(gain_number(gain) * torch.eye(rows, tensor.shape[1]).repeat(groups, 1))
    return write_(tensor, values)


def zero_hadamard_(tensor: Tensor, *, generator: Generator | None = None) -> Tensor:  # noqa: ARG001 - all are called alike
    """ZerO: I where the layer keeps its width, cut where it narrows, c I* H I* where it widens; no randomness.

    H is the Hadamard matrix of size 2^k, k = ceil(log2 m), cut to the shape, and c = 2^(-(k - 1) / 2); convolutions at
    their centre tap. A layer that widens to more than twice its width repeats rows: the equal units part only where the
    next layer reads them differently.

    Args:
        tensor: Filled in place, ``[out, in, *kernel]``.
        generator: Not used.

    Returns:
        ``tensor``.

    Reference: Zhao, Schaefer & Anandkumar 2021, arXiv 2110.12661.
    """
    if tensor.dim() < 2:
        raise ValueError(f"expected [out, in, *kernel], got shape {tuple(tensor.shape)}")
    values = torch.zeros(tensor.shape, dtype=dtype_of(tensor))
    rows, columns = tensor.shape[:2]
    if rows <= columns:
        matrix = torch.eye(rows, columns)
    else:
        order = (rows - 1).bit_length()
        matrix = hadamard(order).to(values)[:rows, :columns] * 2 ** (-(order - 1) / 2)
    centre(values).copy_(matrix)
    return write_(tensor, values)


def idinit_(tensor: Tensor, *, generator: Generator, gain: Gain = 1.0, noise: float = 1e-6) -> Tensor:
    """W[i, j] = g where i = j modulo the input width, plus N(0, noise^2) that keeps repeated rows apart.

    Ends of residual branches take ``gain=1e-6`` in place of zero.

    Args:
        tensor: Filled in place, ``[out, in, *kernel]``; convolutions at their centre tap.
        generator: Source of the noise.
        gain: g.
        noise: Standard deviation of the noise.

    Returns:
        ``tensor``.

    Reference: Pan et al. 2025, arXiv 2503.04626.
    """
    if tensor.dim() < 2:
        raise ValueError(f"expected [out, in, *kernel], got shape {tuple(tensor.shape)}")
    dtype = dtype_of(tensor)
    values = draw_(torch.empty(tensor.shape, dtype=dtype, device=generator.device), noise, generator=generator)
    rows, columns = tensor.shape[:2]
    i, j = torch.arange(rows)[:, None], torch.arange(columns)
    centre(values).add_(gain_number(gain) * ((i - j) % max(columns, 1) == 0).to(values))
    return write_(tensor, values)


def icnr_(
    tensor: Tensor, *, generator: Generator, upscale: int = 2, fan_in: float | None = None, gain: Gain = 1.0
) -> Tensor:
    """Each kernel repeated ``upscale^d`` times before a pixel shuffle, so that it starts as nearest neighbour.

    The repeated kernels have variance g^2 / n. The units of one repeat are equal on purpose: they land on different
    pixels, and their gradients differ.

    Args:
        tensor: Filled in place, ``[out * upscale^d, in, *kernel]`` with d kernel axes.
        generator: Source of every draw.
        upscale: Factor of the pixel shuffle.
        fan_in: n; read from the layout when None.
        gain: g, or the activation whose exact gain it is.

    Returns:
        ``tensor``.

    Reference: Aitken et al. 2017, arXiv 1707.02937.
    """
    repeats = upscale ** max(tensor.dim() - 2, 1)
    if tensor.dim() < 3 or tensor.shape[0] % repeats:
        raise ValueError(f"expected [out * {repeats}, in, *kernel] for upscale={upscale}, got {tuple(tensor.shape)}")
    dtype = dtype_of(tensor)
    small = torch.empty((tensor.shape[0] // repeats, *tensor.shape[1:]), dtype=dtype, device=generator.device)
    he_(small, generator=generator, fan_in=fan_in, gain=gain)
    return write_(tensor, small.repeat_interleave(repeats, 0))


def bilinear_up_(tensor: Tensor, *, generator: Generator | None = None, groups: int = 1) -> Tensor:  # noqa: ARG001 - all are called alike
    """A transposed convolution that interpolates linearly along each axis, each channel to itself.

    w[k] = 1 - abs(k / f - c) with f = ceil(K / 2) and c = (2 f - 1 - f mod 2) / (2 f), a product over the axes; meant
    for K = 2 s - s mod 2 at stride s.

    Args:
        tensor: Filled in place, ``[in, out / groups, *kernel]``; depthwise has groups = in.
        generator: Not used.
        groups: Groups of the convolution.

    Returns:
        ``tensor``.

    Reference: Long, Shelhamer & Darrell 2014, arXiv 1411.4038.
    """
    if tensor.dim() < 3 or groups < 1 or tensor.shape[0] % groups:
        raise ValueError(f"expected [in, out / groups, *kernel], got shape {tuple(tensor.shape)} and groups={groups}")
    dtype = dtype_of(tensor)
    kernel = torch.ones((), dtype=dtype)
    for size in tensor.shape[2:]:
        half = math.ceil(size / 2)
        peak = (2 * half - 1 - half % 2) / (2 * half)
        kernel = kernel[..., None] * (1 - (torch.arange(size, dtype=dtype) / half - peak).abs())
    channels = torch.eye(tensor.shape[0] // groups, tensor.shape[1], dtype=dtype).repeat(groups, 1)
    return write_(tensor, channels.reshape(*channels.shape, *[1] * kernel.dim()) * kernel)


def centre(tensor: Tensor) -> Tensor:
    """View [out, in] of the centre tap of a kernel [out, in, *kernel]; a matrix is its own."""
    for size in tensor.shape[2:]:
        tensor = tensor.select(2, size // 2)
    return tensor


def hadamard(order: int) -> Tensor:
    """Sylvester's matrix of +-1 with orthogonal rows, [2^order, 2^order]."""
    matrix = torch.ones(1, 1)
    for _ in range(order):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix
