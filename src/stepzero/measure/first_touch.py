"""Theorem 3 of the theory notes: when and how hard a layer below zero layers is first touched."""

EPS = 1e-8
"""Adam's own."""


def size(lr: float, zeros: int, *, is_adaptive: bool) -> tuple[float, str]:
    """Order of the first gradient below ``zeros`` all-zero weight layers, and the law in words.

    Gradient descent: each wake-up starts from the product of all above it, lr^(2^j - 1). Adam moves every layer by lr
    at its first touch, however small the gradient: lr^j. 0.0 when it is below the smallest float64.
    """
    power = zeros if is_adaptive else 2**zeros - 1
    return lr**power, f"{lr:g}^{power}"
