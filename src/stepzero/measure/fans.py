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


def bag_fan(length: float, mode: str) -> float | None:
    """Fan-in of a bag of ``length`` looked-up rows: as many independent rows add; a mean divides their variance.

    For the mean it is the number that multiplies the variance of an entry, 1 / length, and not the sum of ones. None
    for the largest.
    """
    return {"sum": length, "mean": 1 / length if length else 0.0}.get(mode)


def einsum_axes(equation: str, position: int) -> tuple[str, ...] | None:
    """Role of each axis of operand ``position``: ``in`` (summed), ``group`` (kept and shared), ``out`` (kept, its own).

    None when there is no such operand or its axes hide behind an ellipsis.
    """
    terms, output = _terms(equation)
    if position >= len(terms) or "." in terms[position]:
        return None
    others = "".join(term for index, term in enumerate(terms) if index != position)
    return tuple(("group" if letter in others else "out") if letter in output else "in" for letter in terms[position])


def einsum_fans(equation: str, shapes: Sequence[Sequence[int]], position: int) -> tuple[float, float]:
    """Fans of the weight at ``position``, for the first of the other operands as the data.

    Not the product over the weight's own axes alone: an index that only the data has may be summed as well
    (``bti,oi->bo``), and one entry of the data meets every index that it lacks (``bi,ijk,bj->bk``).
    """
    terms, output = _terms(equation)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        head, _, tail = term.partition("...")
        for letter, size in (*zip(head, shape, strict=False), *zip(tail[::-1], shape[::-1], strict=False)):
            sizes[letter] = max(size, sizes.get(letter, 1))  # an axis of size 1 is spread over the others
    data = next((term for index, term in enumerate(terms) if index != position), "")
    fan_in = math.prod(size for letter, size in sizes.items() if letter not in output)
    fan_out = math.prod(size for letter, size in sizes.items() if letter not in data)
    return float(fan_in), float(fan_out)


def _terms(equation: str) -> tuple[list[str], str]:
    """Terms of the operands and of the output; without an arrow the output has the letters that occur once."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    letters = inputs.replace(",", "").replace(".", "")
    if not arrow:
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    return inputs.split(","), output
