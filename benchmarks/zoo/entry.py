"""What a member of the zoo is: a named, seeded recipe for a model, a batch and a loss."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional as F

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a zoo member that wants a file is a bug: nothing is downloaded here
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

Loss: TypeAlias = Callable[[Any], Tensor] | None
"""Maps the model's output to a scalar; None when the output carries its own ``.loss``."""

Built: TypeAlias = tuple[nn.Module, Any, Loss]


@dataclass(frozen=True)
class CrossEntropy:
    """Cross entropy of class logits; auxiliary logits of GoogLeNet-like outputs count 0.3 each, as published."""

    target: Tensor

    def __call__(self, output: Any) -> Tensor:
        """Return the mean loss of ``output``: logits [B, K], or a tuple whose first entry they are."""
        if isinstance(output, Tensor):
            return F.cross_entropy(output, self.target)
        main, *auxiliary = (logits for logits in output if logits is not None)
        loss = F.cross_entropy(main, self.target)
        return loss + 0.3 * sum((F.cross_entropy(logits, self.target) for logits in auxiliary), loss.new_zeros(()))


@dataclass(frozen=True)
class Entry:
    """One architecture of the zoo.

    ``argued`` maps the code of a finding that is *right* about this published start to the reason: such findings do
    not fail the run. Everything else of severity error does.
    """

    source: str
    """transformers | timm | torchvision | diffusers | peft | torch."""
    family: str
    name: str
    make: Callable[[torch.Generator], Built] = field(repr=False)
    is_short: bool = False
    """Cheap enough for every test run."""
    argued: dict[str, str] = field(default_factory=dict)
    is_light: bool = False
    """One check from an instance, and no second measurement: for the many that are built by a rule."""
    seconds: float = 0.5
    """Processor seconds of one step, about: the cheapest come first."""

    @property
    def key(self) -> str:
        """Unique name: ``source/name``."""
        return f"{self.source}/{self.name}"

    def build(self, seed: int = 0) -> Built:
        """Build model, batch and loss; the same seed gives the same bits."""
        seed_everything(seed)
        return self.make(torch.Generator().manual_seed(seed + 1))


def seed_everything(seed: int) -> None:
    """Seed the three generators that published code draws from."""
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed)


def plain_loss(model: nn.Module, batch: Any, loss: Loss) -> Tensor:
    """Run one forward pass and the loss, as a training loop would."""
    output = model(**batch) if isinstance(batch, dict) else model(batch)
    scalar: Tensor = output.loss if loss is None else loss(output)
    return scalar


def plain_step(model: nn.Module, batch: Any, loss: Loss) -> None:
    """One forward and backward pass; gradients are dropped afterwards."""
    plain_loss(model, batch, loss).backward()
    for parameter in model.parameters():
        parameter.grad = None
