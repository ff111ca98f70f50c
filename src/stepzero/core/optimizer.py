"""What is known about the optimizer that training will use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OptimizerFact:
    """The optimizer training will use, as far as it was told; ``name`` is empty when nothing was."""

    name: str = ""
    lr: float | None = None
    eps: float | None = None
    is_adaptive: bool = False
    """Whether an update is divided by the gradient's own size (Adam, RMSprop, Adagrad, Lion and their like)."""
    coupled_decay: float = 0.0
    """Weight decay added to the gradient, as opposed to taken off the weight."""


UNTOLD = OptimizerFact()
"""Nothing was said about the optimizer."""
