"""Pictures of one or two plain shapes, to be told apart by which shapes they show.

After the description of Shapeset-3x2 in Glorot & Bengio 2010, section 2.1: triangles, parallelograms and ellipses of
any size, place, angle and grey, one or two in a picture, never more than half of one hidden, hence nine classes. Ours
are 16 x 16 pixels, theirs 32 x 32. Legend: S pictures, O objects, P pixels, U and V axes of an object.
"""

import itertools
import math

import torch
from torch import Generator, Tensor

SIDE = 16
KINDS = ("triangle", "parallelogram", "ellipse")
CLASSES = tuple(
    combination for count in (1, 2) for combination in itertools.combinations_with_replacement(KINDS, count)
)
_COVERED = 0.5
"""Largest share of an object that another may cover."""
_LEAST = 12
"""Pixels an object has at least: fewer show no shape."""


def draw(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Grey pictures [count, 256] from 0 to 1 and their classes, in turn."""
    pictures, labels = torch.zeros(count, SIDE * SIDE), torch.arange(count) % len(CLASSES)
    left = torch.arange(count)
    while len(left):
        # Whoever does not fit is drawn anew as the same class, so that no class becomes rare.
        drawn, fits = _drawn(labels[left], generator)
        pictures[left[fits]] = drawn[fits]
        left = left[~fits]
    return pictures, labels


def _drawn(labels: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Pictures of these classes [S, P], and whether each object is large enough and not covered too much [S]."""
    covers, greys = _objects(labels, generator)
    is_there = torch.tensor([[True, len(each) > 1] for each in CLASSES])[labels]
    covers = covers * is_there[:, :, None]
    areas, both = covers.sum(2), covers.prod(1).sum(1, keepdim=True)
    fits = ((areas >= _LEAST) & (both <= _COVERED * areas)) | ~is_there
    lower, upper = (covers * greys[:, :, None]).unbind(1)
    return upper + lower * (1 - covers[:, 1]), fits.all(1)


def _objects(labels: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """How much of each pixel each of two objects covers [S, 2, P], and the objects' greys [S, 2]."""
    kinds = torch.tensor([[KINDS.index(each[0]), KINDS.index(each[-1])] for each in CLASSES])[labels]

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(labels), 2, generator=generator)

    size, ratio, shear = between(0.3, 0.6), between(0.5, 1.0), between(-0.5, 0.5)
    angle, x, y = between(0, 2 * math.pi), between(-0.5, 0.5), between(-0.5, 0.5)
    pixels = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    right, down = (part.flatten()[None, None] for part in torch.meshgrid(pixels, pixels, indexing="xy"))
    right, down = right - x[:, :, None], down - y[:, :, None]
    cosine, sine = angle.cos()[:, :, None], angle.sin()[:, :, None]
    u = (right * cosine + down * sine) / size[:, :, None]
    v = (down * cosine - right * sine) / (size * ratio)[:, :, None]
    slanted = u - shear[:, :, None] * v
    insides = torch.stack(
        [
            torch.minimum(v + 0.5, (1 - v - math.sqrt(3) * slanted.abs()) / 2),
            1 - torch.maximum(slanted.abs(), v.abs()),
            1 - (u.square() + v.square()).sqrt(),
        ]
    )
    inside = insides.gather(0, kinds[None, :, :, None].expand(1, -1, -1, SIDE * SIDE))[0]
    edge = (inside * (size * SIDE / 2)[:, :, None] + 0.5).clamp(0, 1)  # one pixel from full to none
    return edge, between(0.4, 1.0)
