"""Orthogonal schemes: every direction of the input passes with the same factor.

Computed in float32 or wider whatever the tensor's dtype. A packed tensor is filled block by block, a grouped
convolution group by group: a slice of one large orthogonal matrix is not orthogonal.
"""

import math

from torch import Generator, Tensor

from stepzero.schemes.drawing import draw_, dtype_of, orthonormal, write_
from stepzero.schemes.identity import centre
from stepzero.schemes.law import Blocks, Gain, fill_, gain_number, split


def orthogonal_(tensor: Tensor, *, generator: Generator, gain: Gain = 1.0, blocks: Blocks = 1) -> Tensor:
    """Rows or columns, whichever are fewer, orthonormal, times g: W^T W = g^2 I or W W^T = g^2 I.

    Where a layer widens, the output's second moment falls by n / m (see `suo_`). A convolution is flattened to
    ``[out, in * kernel]``, which makes its filters orthogonal but not the map (see `delta_orthogonal_`).

    Args:
        tensor: Filled in place, two axes or more.
        generator: Source of every draw.
        gain: g, or the activation whose exact gain it is.
        blocks: Blocks packed along the first axis (q, k, v; gates; groups), or their sizes: each its own matrix.

    Returns:
        ``tensor``.

    Reference: Saxe, McClelland & Ganguli 2013, arXiv 1312.6120.
    """
    dtype_of(tensor)
    g = gain_number(gain)
    if tensor.numel() == 0:
        return tensor
    for block in split(tensor, blocks):
        largest = max(block.shape[0], math.prod(block.shape[1:])) if block.dim() else 1
        draw_(block, g / math.sqrt(largest), generator=generator, distribution="orthogonal")
    return tensor


def suo_(
    tensor: Tensor, *, generator: Generator, fan_in: float | None = None, gain: Gain = 1.0, blocks: Blocks = 1
) -> Tensor:
    """Scaled uniform orthogonal: `orthogonal_` times max(sqrt(m / n), 1), which keeps the forward second moment.

    Its entries have root mean square g / sqrt(n). Where the layer widens, gradients grow by m / n instead: both
    cannot be 1.

    Args:
        tensor: Filled in place, two axes or more.
        generator: Source of every draw.
        fan_in: n; read from ``[out, in, *kernel]`` when None, so a ``[in, out]`` layout must state it.
        gain: g, or the activation whose exact gain it is.
        blocks: As for `orthogonal_`.

    Returns:
        ``tensor``.

    Reference: Martens et al. 2021, arXiv 2110.01765.
    """
    g = gain_number(gain)
    return fill_(
        tensor, lambda fans: g / math.sqrt(fans.n), generator=generator, fan_in=fan_in, distribution="orthogonal",
        blocks=blocks,
    )  # fmt: skip


def delta_orthogonal_(tensor: Tensor, *, generator: Generator, gain: Gain = 1.0, groups: int = 1) -> Tensor:
    """A convolution that is zero but for its centre tap, which is a `suo_` matrix: an orthogonal map of the image.

    Args:
        tensor: Filled in place, ``[out, in / groups, *kernel]`` with odd kernel sizes.
        generator: Source of every draw.
        gain: g, or the activation whose exact gain it is.
        groups: Groups of the convolution; each has its own matrix.

    Returns:
        ``tensor``.

    Reference: Xiao et al. 2018, arXiv 1806.05393.
    """
    dtype = dtype_of(tensor)
    if tensor.dim() < 3 or any(size % 2 == 0 for size in tensor.shape[2:]):
        raise ValueError(f"expected [out, in, *kernel] with odd kernel sizes, got shape {tuple(tensor.shape)}")
    g = gain_number(gain)
    values = tensor.new_zeros(tensor.shape, dtype=dtype)
    for block in split(centre(values), groups):
        rows, columns = block.shape
        if block.numel():
            matrix = orthonormal(rows, columns, generator=generator, dtype=dtype)
            write_(block, matrix * g * max(math.sqrt(rows / columns), 1.0))
    return write_(tensor, values)
