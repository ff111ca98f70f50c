"""Batches made up for models that a library builds: random numbers of the right shape, and said to be so.

A stand-in is off the data: what a rule says about the input itself is said of random numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

IMAGES = 8
"""Images in a stand-in batch."""
SEQUENCES, TOKENS = 4, 64
"""Sequences in a stand-in batch, and tokens in each."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """A made-up batch, its target when the loss needs one, and what it is in words."""

    batch: Any
    note: str
    target: Any = field(default=None)


def images(channels: int, sizes: tuple[int, ...], num_classes: int | None, seed: int) -> StandIn:
    """N(0, 1) images of shape (IMAGES, channels, *sizes) with uniformly random classes; no target without classes."""
    import torch  # noqa: PLC0415 - only a check needs torch

    generator = torch.Generator().manual_seed(seed)
    batch = torch.randn(IMAGES, channels, *sizes, generator=generator)
    target = torch.randint(num_classes, (IMAGES,), generator=generator) if num_classes else None
    shape = "x".join(map(str, batch.shape))
    labels = f" with random labels of {num_classes} classes" if num_classes else ""
    return StandIn(batch, f"batch: {shape} normally distributed random images{labels}, a stand-in for data", target)


def tokens(vocabulary: int, length: int, seed: int) -> "torch.Tensor":
    """Return uniformly random token ids of shape (SEQUENCES, length)."""
    import torch  # noqa: PLC0415 - only a check needs torch

    return torch.randint(vocabulary, (SEQUENCES, length), generator=torch.Generator().manual_seed(seed))


def keywords(batch: Mapping[str, Any], what: str) -> StandIn:
    """Return a batch of keyword arguments, told as ``what``."""
    return StandIn(dict(batch), f"batch: {what}, a stand-in for data")
