"""Schemes for attention projections and embeddings."""

import math
from typing import Literal

import torch
from torch import Generator, Tensor

from stepzero.schemes.drawing import Distribution, draw_, dtype_of, write_
from stepzero.schemes.law import Blocks, Gain, fill_, gain_number, split


def attention_(
    tensor: Tensor,
    *,
    generator: Generator,
    fan_in: float | None = None,
    gain: Gain = 1.0,
    distribution: Distribution = "normal",
    blocks: Blocks = 1,
    zero_query: bool = False,
) -> Tensor:
    """Query, key and value, each a block of its own with variance g^2 / n, packed in one tensor or not.

    A law of fan-in alone, so that packed and separate layouts have the same deviation; one by fan-out would not.

    Args:
        tensor: Filled in place, ``[rows, in]``: one projection, or several packed along the first axis.
        generator: Source of every draw.
        fan_in: n, the width of the projection's own input; read from the last axis when None.
        gain: g.
        distribution: ``normal``, ``uniform``, ``truncated`` or ``orthogonal`` (block by block).
        blocks: 3 for q, k, v of equal widths, or their sizes.
        zero_query: Start the first block at zero: uniform attention, whose gradient flows through the query.

    Returns:
        ``tensor``.

    Reference: zero query: Yang et al. 2022, arXiv 2203.03466.
    """
    g = gain_number(gain)
    fill_(
        tensor, lambda fans: g / math.sqrt(fans.n), generator=generator, fan_in=fan_in, distribution=distribution,
        blocks=blocks,
    )  # fmt: skip
    if zero_query:
        with torch.no_grad():
            split(tensor, blocks)[0].zero_()
    return tensor


def embedding_(
    tensor: Tensor,
    *,
    generator: Generator,
    reader: Literal["norm", "scale", "head"] = "norm",
    std: float | None = None,
    distribution: Distribution = "normal",
    padding_idx: int | None = None,
) -> Tensor:
    """A lookup table: fan-in is 1, so its deviation depends on what reads it and not on its shape.

    1 where a norm follows or nothing rescales; d^(-1/2) where the rows are multiplied by sqrt(d), and where the table
    is the output head too.

    Args:
        tensor: Filled in place, ``[entries, d]``.
        generator: Source of every draw.
        reader: What follows: ``norm``, ``scale`` (times sqrt(d)), or ``head`` (tied).
        std: A deviation that overrides ``reader``, such as 0.02.
        distribution: ``normal``, ``uniform`` or ``truncated``.
        padding_idx: Row that stays zero.

    Returns:
        ``tensor``.

    Reference: the scale sqrt(d): Vaswani et al. 2017, arXiv 1706.03762.
    """
    if reader not in ("norm", "scale", "head"):
        raise ValueError(f"reader: expected 'norm', 'scale' or 'head', got {reader!r}")
    if tensor.dim() < 2:
        raise ValueError(f"expected a table [entries, d], got shape {tuple(tensor.shape)}")
    by_reader = 1.0 if reader == "norm" else 1 / math.sqrt(max(tensor.shape[-1], 1))
    draw_(tensor, by_reader if std is None else std, generator=generator, distribution=distribution)
    if padding_idx is not None:
        with torch.no_grad():
            tensor[padding_idx].zero_()
    return tensor


def contrast_(tensor: Tensor, *, generator: Generator, std: float = 1.0) -> Tensor:
    """A lookup table [V, d] whose rows have no mean: w = s sqrt(V / (V - 1)) (z - mean over rows of z), z ~ N(0, 1).

    What all V rows have in common is added to every token alike. It tells none apart, and of the variance of a table
    of independent rows it is the share 1 / V: an eighth of eight symbols, nothing of a large vocabulary.

    Args:
        tensor: Filled in place, ``[V, d]``; of a single row nothing is taken away.
        generator: Source of every draw.
        std: s, the standard deviation of each entry.

    Returns:
        ``tensor``.

    Reference: centred inputs: LeCun et al. 1998, Efficient BackProp, section 4.3.
    """
    if tensor.dim() < 2:
        raise ValueError(f"expected a table [entries, d], got shape {tuple(tensor.shape)}")
    if len(tensor) < 2 or tensor.is_complex():
        return draw_(tensor, std, generator=generator)
    z = torch.empty(tuple(tensor.shape), dtype=dtype_of(tensor)).normal_(0.0, 1.0, generator=generator)
    return write_(tensor, (z - z.mean(0)) * (std * math.sqrt(len(z) / (len(z) - 1))))
