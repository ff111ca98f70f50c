"""Maximal update parametrisation: how deviations, learning rates and multipliers follow the width. Plain arithmetic.

r = width / base width. The factors multiply what the base model has, so that its learning rates carry over. Applied
once: twice would be another model. Reference: Yang et al. 2022, arXiv 2203.03466.
"""

import math
from typing import Literal, NamedTuple

Role = Literal["input", "hidden", "readout", "vector"]
Optimizer = Literal["adam", "sgd"]


class Factors(NamedTuple):
    """What a parameter's numbers at the base width are multiplied by."""

    std: float
    """On the standard deviation of the weights."""
    lr: float
    """On the learning rate."""
    multiplier: float
    """On the output of the layer, in the forward pass."""
    weight_decay: float
    """On a decay that the optimizer multiplies by the learning rate: keeps their product."""


def mup(role: Role, ratio: float, *, optimizer: Optimizer = "adam") -> Factors:
    """Factors of a parameter whose layer is ``ratio`` times as wide as in the base model.

    Args:
        role: ``input`` (fixed in, wide out), ``hidden`` (wide in and out), ``readout`` (wide in, fixed out), or
            ``vector`` (biases, gains and shifts).
        ratio: r, the width over the base width.
        optimizer: ``adam`` for all that normalise the gradient, ``sgd`` for those that do not.

    Returns:
        Input and vector: deviation 1, learning rate 1 (SGD r). Hidden: r^(-1/2), 1 / r (SGD 1). Readout: deviation 1 or
        a zero start, learning rate 1 (SGD r), output times 1 / r.
    """
    if not (math.isfinite(ratio) and ratio > 0):
        raise ValueError(f"ratio: expected a positive number, got {ratio:g}")
    if optimizer not in ("adam", "sgd"):
        raise ValueError(f"optimizer: expected 'adam' or 'sgd', got {optimizer!r}")
    is_adam = optimizer == "adam"
    if role == "hidden":
        lr = 1 / ratio if is_adam else 1.0
        return Factors(std=ratio**-0.5, lr=lr, multiplier=1.0, weight_decay=1 / lr)
    if role not in ("input", "readout", "vector"):
        raise ValueError(f"role: expected 'input', 'hidden', 'readout' or 'vector', got {role!r}")
    lr = 1.0 if is_adam else ratio
    return Factors(std=1.0, lr=lr, multiplier=1 / ratio if role == "readout" else 1.0, weight_decay=1 / lr)


def attention_scale(head_width: int, base_head_width: int | None = None) -> float:
    """Factor on the logits: 1 / d_head in place of 1 / sqrt(d_head), since trained queries and keys are aligned.

    With a base width the two agree there: sqrt(base) / d_head.
    """
    if head_width < 1 or (base_head_width is not None and base_head_width < 1):
        raise ValueError(f"expected head widths of 1 or more, got {head_width} and {base_head_width}")
    return math.sqrt(base_head_width or 1) / head_width
