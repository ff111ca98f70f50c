"""The factor that gives an output the standard deviation it should have, from sums by channel alone.

An output is ``o = u + b`` with a bias that is constant along each channel. Scaling the weight by s makes it
``s u + b``, whose variance is ``s^2 Var u + 2 s Cov(u, b) + Var b``. Legend: N rows, C channels.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_CANCELS = 0.9
"""Share of the mean square that the squared mean may take before a float32 difference is too coarse."""
_ROUNDING = 1e-12
"""Variance over mean square below which an output only varies by rounding."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Variances of the product and of the bias over all elements of one output, and their covariance."""

    product: float
    covariance: float
    bias: float
    square: float
    """Mean square of the whole output."""

    @property
    def std(self) -> float:
        """Standard deviation of the whole output, without Bessel's correction."""
        return math.sqrt(max(0.0, self.product + 2 * self.covariance + self.bias))


def moments(output: Tensor, bias: Tensor | None, axis: int) -> Moments:
    """Read one output once. ``bias`` [C] or None; ``axis`` is where the channels are."""
    wide = output if output.dtype in (torch.float32, torch.float64) else output.float()
    if bias is None:
        variance, square = _variance(wide)
        return Moments(variance, 0.0, 0.0, square)
    others = list(range(wide.dim()))
    del others[axis]
    count = len(bias)
    square, rows = _square(wide), wide.numel() // count
    sums_C = wide.sum(others) if others else wide
    three = torch.stack([sums_C, bias.to(sums_C.dtype), torch.ones_like(sums_C)]).double()
    # Gram matrix of channel sums, bias and ones: every mean over channels that is needed, read back at once.
    (_, sb, s), (_, bb, b), _ = (three @ three.T).tolist()
    mb, m, bb, b = sb / rows / count, s / rows / count, bb / count, b / count
    product = square - 2 * mb + bb - (m - b) ** 2
    if product < (1 - _CANCELS) * square:
        return _exactly(output.double(), bias.double(), axis)
    return Moments(product, mb - m * b - (bb - b * b), bb - b * b, square)


def along(bias_C: Tensor, axis: int, dims: int) -> Tensor:
    """The bias as it is added to an output of so many dimensions, whose channels are on ``axis``."""
    if axis in (-1, dims - 1):
        return bias_C
    shape = [1] * dims
    shape[axis] = -1
    return bias_C.reshape(shape)


def _exactly(output: Tensor, bias_C: Tensor, axis: int) -> Moments:
    """The same without differences of large numbers."""
    product = output - along(bias_C, axis, output.dim())
    centred = along(bias_C - bias_C.mean(), axis, output.dim())
    return Moments(
        float(product.var(correction=0)),
        float(((product - product.mean()) * centred).mean()),
        float(bias_C.var(correction=0)),
        float(output.square().mean()),
    )


def _square(output: Tensor) -> float:
    norm = float(torch.linalg.vector_norm(output))
    return norm * norm / output.numel()


def _variance(output: Tensor) -> tuple[float, float]:
    mean, square = float(output.sum()) / output.numel(), _square(output)
    if mean * mean > _CANCELS * square:
        return float(output.double().var(correction=0)), square
    return square - mean * mean, square


def factor(seen: Moments, target: float) -> tuple[float | None, str]:
    """The positive root, or None and the reason why there is none."""
    u, c, b = seen.product, seen.covariance, seen.bias
    if not all(map(math.isfinite, (u, c, b, seen.square))):
        return None, "the output is not finite"
    if u <= _ROUNDING * seen.square or u == 0.0:
        return None, "the output does not vary over the batch"
    rest = b - target * target
    inside = c * c - u * rest
    if inside < 0 or (rest >= 0 and c >= 0):
        return None, f"the bias alone has a standard deviation of {math.sqrt(b):.3g}, above the target {target:.3g}"
    root = math.sqrt(inside)
    if rest > 0:
        return None, "two factors give the target: the bias is too loud to tell which"
    # Of the two forms of one root, the one that does not take the difference of nearly equal numbers.
    return (-rest / (c + root) if c > 0 else (root - c) / u), ""
