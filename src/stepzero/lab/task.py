"""What a network is trained on: samples, targets and the loss that compares them."""

from dataclasses import dataclass

from torch import Tensor

LOSSES = ("cross_entropy", "mse")
"""In the order of the kernel's own list."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs [S, d] and targets: labels [S] for cross entropy, numbers [S, outputs] for the mean squared error."""

    inputs: Tensor
    targets: Tensor
    loss: str = "cross_entropy"
    shape: tuple[int, int] | None = None
    """Height and width of an image, or steps and features of a sequence; None where an input is but a vector."""
