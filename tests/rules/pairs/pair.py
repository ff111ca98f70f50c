"""What a discriminating pair is: one symptom, models in which it is a fault, models in which it is sound."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Make = Callable[[], tuple[nn.Module, Any, Any]]
"""Builds (model, batch, loss) with the global generator seeded."""
SILENT = "silent"
LOUD = ("warning", "error")


@dataclass(frozen=True)
class Fault:
    """A model that one of ``codes`` must call faulty, its worst finding being one of ``severities``."""

    make: Make
    codes: tuple[str, ...]
    severities: tuple[str, ...] = ("error",)
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None


@dataclass(frozen=True)
class Sound:
    """A model on which no rule at all may be louder than ``most``; ``silent``: the codes of the fault say nothing.

    ``says``: one of these codes must speak, as info.
    """

    make: Make
    most: str = SILENT
    says: tuple[str, ...] = ()
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None


@dataclass(frozen=True)
class Pair:
    """One row of the catalogue's table of discriminating pairs."""

    symptom: str
    faults: tuple[Fault, ...]
    sounds: tuple[Sound, ...]

    @property
    def codes(self) -> set[str]:
        """Every code that names the fault."""
        return {code for fault in self.faults for code in fault.codes}


def sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Plain gradient descent."""
    return torch.optim.SGD(parameters, lr=0.05)


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam at its usual rate."""
    return torch.optim.Adam(parameters, lr=1e-3)


def labels(count: int, classes: int) -> Tensor:
    """Balanced labels."""
    return torch.arange(count) % classes


def cross_entropy(count: int, classes: int) -> Callable[[Tensor], Tensor]:
    """Cross entropy against balanced labels, over the last axis."""
    return lambda logits: F.cross_entropy(logits.reshape(-1, classes), labels(count, classes))


def square(output: Tensor) -> Tensor:
    """Squared error against a ramp over the batch."""
    target = torch.linspace(-1, 1, output.shape[0], dtype=output.dtype).view(-1, *[1] * (output.dim() - 1))
    return (output - target).square().mean()


def plain(*widths: int, phi: Callable[[], nn.Module] = nn.ReLU, gain: float = 2**0.5) -> nn.Sequential:
    """Linear layers with ``phi`` between them, biases zero, weights ``gain`` over the square root of the fan in.

    The first and the last layer have gain 1: the data has unit variance, and no activation follows the output.
    """
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layer, is_inner = nn.Linear(before, after), 0 < len(layers) < 2 * len(widths) - 4
        nn.init.normal_(layer.weight, std=(gain if is_inner else 1.0) * before**-0.5)
        nn.init.zeros_(layer.bias)
        layers += [layer, phi()]
    return nn.Sequential(*layers[:-1])


class Residual(nn.Module):
    """``x + branch(x)``, with a gate when ``alpha`` is given."""

    def __init__(self, branch: nn.Module, alpha: float | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.alpha = nn.Parameter(torch.tensor(float(alpha))) if alpha is not None else None

    def forward(self, x: Tensor) -> Tensor:
        change = self.branch(x)
        return x + (change if self.alpha is None else self.alpha * change)


class Attention(nn.Module):
    """Self-attention written out, four projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x_BTD: Tensor) -> Tensor:
        q, k, v = (layer(x_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """Pre-norm decoder blocks on learned token and position embeddings, tied to nothing."""

    def __init__(self, vocabulary: int = 64, width: int = 32, heads: int = 4, blocks: int = 2, std: float = 0.02):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Parameter(torch.empty(16, width))
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            mixing = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
            change = nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )
            self.blocks += [Residual(mixing), Residual(change)]
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=std)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, ids_BT: Tensor) -> Tensor:
        x = self.tokens(ids_BT) + self.places[: ids_BT.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def language(model: nn.Module, vocabulary: int = 64) -> tuple[nn.Module, Tensor, Callable[[Tensor], Tensor]]:
    """A token model with a batch of 8 x 16 ids and the loss of the next token."""
    ids = torch.randint(1, vocabulary, (8, 17))
    return model, ids[:, :-1], lambda logits: F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
