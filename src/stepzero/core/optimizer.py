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
    rates: tuple[tuple[str, float], ...] = ()
    """(parameter, learning rate) where that is not ``lr``: groups of their own, and 0 for what no group holds."""

    def rate_of(self, parameter: str) -> float | None:
        """Learning rate of one parameter; None when none was told."""
        return next((rate for name, rate in self.rates if name == parameter), self.lr)


UNTOLD = OptimizerFact()
"""Nothing was said about the optimizer."""
