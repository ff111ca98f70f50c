"""True fans of a weight from the operation that consumes it (initialisation notes, section 2).

fan_in: mean number of weight x input terms summed into one output entry. fan_out: mean number of output entries one
input entry reaches. Means run over whole stride periods, away from padding. Oracle: with ones in weight and input the
output *is* fan_in and the gradient of its sum *is* fan_out.
"""

import math
from collections.abc import Sequence


def linear_fans(out_features: int, in_features: int) -> tuple[float, float]:
    """``y = W x`` with W of shape [out, in]."""
    return float(in_features), float(out_features)


def convolution_fans(shape: Sequence[int], groups: int, stride: Sequence[int]) -> tuple[float, float]:
    """Weight [out, in / groups, *kernel]."""
    kernel, period = math.prod(shape[2:]), math.prod(stride)
    return float(shape[1] * kernel), shape[0] / groups * kernel / period


def transposed_convolution_fans(shape: Sequence[int], groups: int, stride: Sequence[int]) -> tuple[float, float]:
    """Weight [in, out / groups, *kernel]; each output entry is reached by one stride phase of the kernel."""
    kernel, period = math.prod(shape[2:]), math.prod(stride)
    return shape[0] / groups * kernel / period, float(shape[1] * kernel)


def contraction_fans(shape: Sequence[int], axes: Sequence[str]) -> tuple[float, float]:
    """Any contraction, given the role of each axis: product of the ``in`` axes and of the ``out`` axes."""
    fan_in = math.prod(size for size, axis in zip(shape, axes, strict=True) if axis == "in")
    fan_out = math.prod(size for size, axis in zip(shape, axes, strict=True) if axis == "out")
    return float(fan_in), float(fan_out)


def einsum_axes(equation: str, position: int) -> tuple[str, ...] | None:
    """Role of each axis of operand ``position``: ``in`` (summed), ``group`` (kept and shared), ``out`` (kept, its own).

    None when the equation uses an ellipsis for that operand or has no explicit output and cannot be read.
    """
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if position >= len(terms) or "." in terms[position]:
        return None
    others = "".join(term for index, term in enumerate(terms) if index != position)
    if not arrow:
        letters = inputs.replace(",", "")
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    return tuple(("group" if letter in others else "out") if letter in output else "in" for letter in terms[position])
