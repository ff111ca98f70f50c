"""Draws of a stated standard deviation from an explicit generator, and the write into the tensor.

Numbers are drawn on the generator's device in float32 (float64 for a float64 tensor) and cast last: a draw in half
precision would round before it is scaled. No draw touches the global generators.
"""

import math
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
    dtype = dtype_of(tensor)
    with torch.no_grad():
        if tensor.is_complex():
            if distribution == "orthogonal":
                raise ValueError("distribution: orthogonal is not offered for complex tensors; use normal")
            parts = torch.empty((*tensor.shape, 2), dtype=dtype, device=generator.device)
            _fill_(parts, std / math.sqrt(2), generator, distribution, cut)
            return tensor.copy_(torch.view_as_complex(parts))
        if tensor.dtype == dtype and tensor.device == generator.device and tensor.is_contiguous():
            _fill_(tensor.detach(), std, generator, distribution, cut)  # the same numbers without a second copy
            return tensor
        values = torch.empty(tensor.shape, dtype=dtype, device=generator.device)
        _fill_(values, std, generator, distribution, cut)
        return tensor.copy_(values)


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
    tall = torch.empty(max(rows, columns), min(rows, columns), dtype=dtype, device=generator.device)
    q, r = torch.linalg.qr(tall.normal_(generator=generator))
    q *= torch.where(r.diagonal() < 0, -1.0, 1.0).to(dtype)
    matrix: Tensor = q.T if rows < columns else q
    return matrix


def truncated_std(cut: float) -> float:
    """Standard deviation of a standard normal cut at +-cut: sqrt(1 - 2 cut p(cut) / P(abs(z) < cut)), 0 to 1."""
    density = math.exp(-cut * cut / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))


def _fill_(values: Tensor, std: float, generator: Generator, distribution: Distribution, cut: float) -> None:
    """Overwrite a contiguous float tensor on the generator's device."""
    if distribution == "normal":
        values.normal_(0.0, std, generator=generator)
    elif distribution == "uniform":
        values.uniform_(-std * math.sqrt(3), std * math.sqrt(3), generator=generator)
    elif distribution == "truncated":
        _truncated_(values, std, generator, cut)
    else:
        if values.dim() < 2:
            raise ValueError(f"distribution: orthogonal needs at least two axes, the tensor has {tuple(values.shape)}")
        rows, columns = values.shape[0], math.prod(values.shape[1:])
        unit = orthonormal(rows, columns, generator=generator, dtype=values.dtype)
        torch.mul(unit.reshape(values.shape), std * math.sqrt(max(rows, columns)), out=values)


def _truncated_(values: Tensor, std: float, generator: Generator, cut: float) -> None:
    """The inverse of the distribution function at uniform numbers: one draw an entry, none thrown away."""
    share = math.erf(cut / math.sqrt(2))
    values.uniform_(-share, share, generator=generator)
    largest = 1 - torch.finfo(values.dtype).eps / 2
    if share > largest:  # a number that rounds to 1 has no finite inverse
        values.clamp_(-largest, largest)
    scale = std / truncated_std(cut)
    values.erfinv_().mul_(math.sqrt(2) * scale).clamp_(-cut * scale, cut * scale)


def _check(distribution: str, std: float, cut: float) -> None:
    if distribution not in get_args(Distribution):
        raise ValueError(f"distribution: expected one of {', '.join(get_args(Distribution))}; got {distribution!r}")
    if not (math.isfinite(std) and std >= 0):
        raise ValueError(f"expected a standard deviation of 0 or more, got {std:g}")
    if not cut > 0:
        raise ValueError(f"cut: expected more than 0 standard deviations, got {cut:g}")
