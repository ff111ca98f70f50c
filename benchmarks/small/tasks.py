"""Tasks that a small network can learn in 200 steps: digits of scikit-learn in three forms, and generated sequences.

Legend: N samples, T steps of a sequence, V symbols.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

N = 1024
BATCH = 32
"""Samples of a training step."""
V, T = 8, 12


@dataclass(frozen=True, eq=False)
class Task:
    """Inputs [N, ...] and integer targets [N] or [N, T]; cross entropy is the loss throughout."""

    name: str
    inputs: Tensor
    targets: Tensor
    classes: int

    def batch(self, generator: torch.Generator, size: int = BATCH) -> tuple[Tensor, Tensor]:
        """Some samples, without replacement."""
        chosen = torch.randperm(len(self.inputs), generator=generator)[:size]
        return self.inputs[chosen], self.targets[chosen]


def get(name: str) -> Task:
    """The task of that name; made once."""
    return _MAKERS[name]()


@functools.cache
def _pixels() -> tuple[Tensor, Tensor]:
    """Images [N, 8, 8], standardised over all pixels, and their digits [N]."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    pixels = torch.tensor(images[:N], dtype=torch.float32).reshape(-1, 8, 8)
    return (pixels - pixels.mean()) / pixels.std(), torch.tensor(digits[:N])


@functools.cache
def _digits() -> Task:
    pixels, digits = _pixels()
    return Task("digits", pixels.flatten(1), digits, 10)


@functools.cache
def _images() -> Task:
    pixels, digits = _pixels()
    return Task("digit images", pixels.unsqueeze(1), digits, 10)


@functools.cache
def _rows() -> Task:
    """A digit as a sequence of eight rows."""
    pixels, digits = _pixels()
    return Task("digit rows", pixels, digits, 10)


@functools.cache
def _recall() -> Task:
    """Name the first symbol of a sequence at its end: a memory of T steps."""
    generator = torch.Generator().manual_seed(1)
    symbols = torch.randint(V, (N, T), generator=generator)
    return Task("recall", symbols, symbols[:, 0].clone(), V)


@functools.cache
def _steps() -> Task:
    """Predict the next symbol of a walk on a ring, each with a stride of its own: two symbols must be compared."""
    generator = torch.Generator().manual_seed(2)
    start, stride = torch.randint(V, (N, 1), generator=generator), torch.randint(1, V, (N, 1), generator=generator)
    walk = (start + stride * torch.arange(T + 1)) % V
    return Task("strides", walk[:, :-1].contiguous(), walk[:, 1:].contiguous(), V)


_MAKERS = {"digits": _digits, "digit images": _images, "digit rows": _rows, "recall": _recall, "strides": _steps}
