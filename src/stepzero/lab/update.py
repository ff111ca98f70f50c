"""The update rules of the fleet."""

from dataclasses import dataclass

OPTIMIZERS = ("sgd", "momentum", "adam", "adamw")
"""In the order of the kernel's own list."""


@dataclass(frozen=True)
class Update:
    """One optimizer; the learning rate belongs to each network. Defaults are torch's own, and momentum 0.9.

    ``decay`` is added to the gradient (sgd, momentum, adam) or taken off the weight (adamw).
    """

    name: str = "sgd"
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    decay: float = 0.0

    @property
    def is_adaptive(self) -> bool:
        """Whether an update is divided by the gradient's own size."""
        return self.name.startswith("adam")
