"""Draws of a stated standard deviation from an explicit generator, and the write into the tensor.

Numbers are drawn on the generator's device in float32 (float64 for a float64 tensor) and cast last: a draw in half
precision would round before it is scaled. No draw touches the global generators.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Generator, Tensor

Distribution = Literal["normal", "uniform", "truncated", "orthogonal"]
CUT = 2.0
"""Where a truncated normal ends unless told otherwise, in standard deviations of the normal that is cut."""


def draw_(
    tensor: Tensor, std: float, *, generator: Generator, distribution: Distribution = "normal", cut: float = CUT
) -> Tensor:
    """Fill ``tensor`` with zero-mean numbers of standard deviation ``std``; a complex one with half in each part.

    ``orthogonal`` flattens the tensor to [first axis, rest], and ``std`` is the root mean square of its entries.
    """
    _check(distribution, std, cut)
    shape, scale = tuple(tensor.shape), std
    if tensor.is_complex():
        if distribution == "orthogonal":
            raise ValueError("distribution: orthogonal is not offered for complex tensors; use normal")
        shape, scale = (*shape, 2), std / math.sqrt(2)
    values = scale * _standard(shape, generator, dtype_of(tensor), distribution, cut)
    return write_(tensor, torch.view_as_complex(values) if tensor.is_complex() else values)


def write_(tensor: Tensor, values: Tensor) -> Tensor:
    """Copy ``values``, of the same shape, into ``tensor`` whatever its dtype, device and strides; not recorded."""
    with torch.no_grad():
        return tensor.copy_(values)


def dtype_of(tensor: Tensor) -> torch.dtype:
    """What numbers for ``tensor`` are drawn in: float64 for double precision, else float32.

    ValueError for tensors that cannot take real numbers: integers, quantised or sparse ones, and meta tensors, where a
    write would be lost without a word.
    """
    if tensor.is_meta:
        raise ValueError("the tensor is on the meta device and has no memory to fill; allocate it first (to_empty)")
    if tensor.layout is not torch.strided or not (tensor.is_floating_point() or tensor.is_complex()):
        raise ValueError(f"expected a dense floating-point tensor, got {tensor.dtype} with layout {tensor.layout}")
    return torch.float64 if tensor.dtype in (torch.float64, torch.complex128) else torch.float32


def orthonormal(rows: int, columns: int, *, generator: Generator, dtype: torch.dtype) -> Tensor:
    """Uniformly distributed [rows, columns] matrix with orthonormal columns, or rows where those are fewer.

    QR of a Gaussian matrix, with the signs that make the diagonal of R positive: without them the result follows the
    convention of the solver and is not uniform (Mezzadri 2007, arXiv math-ph/0609050).
    """
    tall = _normal((max(rows, columns), min(rows, columns)), generator, dtype)
    q, r = torch.linalg.qr(tall)
    q *= torch.where(r.diagonal() < 0, -1.0, 1.0).to(dtype)
    matrix: Tensor = q.T if rows < columns else q
    return matrix


def truncated_std(cut: float) -> float:
    """Standard deviation of a standard normal cut at +-cut: sqrt(1 - 2 cut p(cut) / P(abs(z) < cut)), 0 to 1."""
    density = math.exp(-cut * cut / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))


def _standard(
    shape: Sequence[int], generator: Generator, dtype: torch.dtype, distribution: Distribution, cut: float
) -> Tensor:
    """Numbers of standard deviation 1."""
    if distribution == "normal":
        return _normal(shape, generator, dtype)
    if distribution == "orthogonal":
        if len(shape) < 2:
            raise ValueError(f"distribution: orthogonal needs at least two axes, the tensor has shape {tuple(shape)}")
        rows, columns = shape[0], math.prod(shape[1:])
        unit = orthonormal(rows, columns, generator=generator, dtype=dtype)
        return unit.reshape(tuple(shape)) * math.sqrt(max(rows, columns))
    uniform = 2 * torch.rand(tuple(shape), generator=generator, dtype=dtype, device=generator.device) - 1
    if distribution == "uniform":
        return uniform * math.sqrt(3)
    # The inverse of the distribution function; the clamp is for a bound that rounds to 1, whose inverse is infinite.
    values = torch.erfinv(uniform * math.erf(cut / math.sqrt(2))) * math.sqrt(2)
    return values.clamp(-cut, cut) / truncated_std(cut)


def _normal(shape: Sequence[int], generator: Generator, dtype: torch.dtype) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, dtype=dtype, device=generator.device)


def _check(distribution: str, std: float, cut: float) -> None:
    if distribution not in get_args(Distribution):
        raise ValueError(f"distribution: expected one of {', '.join(get_args(Distribution))}; got {distribution!r}")
    if not (math.isfinite(std) and std >= 0):
        raise ValueError(f"expected a standard deviation of 0 or more, got {std:g}")
    if not cut > 0:
        raise ValueError(f"cut: expected more than 0 standard deviations, got {cut:g}")
