"""What is known about the optimizer that training will use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupFact:
    """How the groups of an optimizer and the parameters of the model fit together."""

    held: int = 0
    """Parameters of the model in some group."""
    missing: tuple[str, ...] = ()
    """Trainable parameters of the model in no group."""
    idle: tuple[str, ...] = ()
    """Frozen parameters of the model in a group."""
    twice: tuple[str, ...] = ()
    """Parameters of the model that are listed more than once."""
    foreign: int = 0
    """Tensors in groups that are no parameters of the model."""
    are_masters: bool = False
    """Whether these have more digits than the model's own and as many numbers: copies stepped in its place."""
    is_of_another_build: bool = False
    """Whether it was made before the factory made this model, and so holds none of it."""


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
    groups: GroupFact | None = None
    """Which parameters it holds; None where it was told by its name or class."""

    def rate_of(self, parameter: str) -> float | None:
        """Learning rate of one parameter; None when none was told."""
        return next((rate for name, rate in self.rates if name == parameter), self.lr)


UNTOLD = OptimizerFact()
"""Nothing was said about the optimizer."""
