"""What a fault is planted in: a model with the data and the loss it learns from, built by name and seed."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[..., Tensor]
"""(output, target) -> scalar."""


@dataclass(eq=False)
class Subject:
    """A model, all samples it may see and how it is trained.

    N samples: ``inputs`` [N, ...], ``targets`` [N, ...]. ``factory`` is set where a fault shows only while the model is
    built: it returns the model alone.
    """

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    loss: Loss
    optimizer: str
    lr: float
    checked: int = 64
    """Samples that a check sees."""
    factory: Callable[[], nn.Module] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def few(self, count: int = 8) -> Tensor:
        """The first samples."""
        return self.inputs[:count]

    def batch(self, generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Some samples without replacement, and what is wanted for them."""
        chosen = torch.randperm(len(self.inputs), generator=generator)[:size]
        return self.inputs[chosen], self.targets[chosen]

    def clone(self) -> "Subject":
        """The same with a model of its own."""
        return replace(self, model=copy.deepcopy(self.model), notes=dict(self.notes))


@dataclass(frozen=True)
class Net:
    """How to build a subject.

    ``is_held`` marks the networks on which rules were never developed: final numbers come from them.
    """

    name: str
    build: Callable[[], nn.Module]
    data: Callable[[], tuple[Tensor, Tensor]]
    loss: Loss
    optimizer: str
    lr: float
    is_held: bool = False
    checked: int = 64
    needs: str = ""
    """Package without which it cannot be built."""

    def subject(self, seed: int) -> Subject:
        """Build with that seed; the global generator is left as it was."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = self.build()
        inputs, targets = self.data()
        return Subject(model, inputs, targets, self.loss, self.optimizer, self.lr, self.checked)
