"""Samples and losses of the networks: the tasks of the small benchmarks, and a few more of the same digits."""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.small import tasks

Samples = tuple[Tensor, Tensor]


def _of(name: str) -> Samples:
    task = tasks.get(name)
    return task.inputs, task.targets


digits = functools.partial(_of, "digits")
images = functools.partial(_of, "digit images")
rows = functools.partial(_of, "digit rows")
recall = functools.partial(_of, "recall")
strides = functools.partial(_of, "strides")


def itself() -> Samples:
    """Digits to be given back."""
    pixels, _ = digits()
    return pixels, pixels


def images_themselves() -> Samples:
    """The same as images."""
    pixels, _ = images()
    return pixels, pixels


@functools.cache
def large_images() -> Samples:
    """Images [N, 1, 16, 16]."""
    pixels, classes = images()
    return F.interpolate(pixels, scale_factor=2, mode="bilinear"), classes


@functools.cache
def values() -> Samples:
    """A number for each digit's image: its first pixels' products, standardised [N, 1]."""
    pixels, _ = digits()
    value = (pixels[:, 10:30] * pixels[:, 30:50]).mean(1, keepdim=True).tanh()
    return pixels, (value - value.mean()) / value.std()


@functools.cache
def picture() -> Samples:
    """Places [1024, 2] in a square and the colour there [1024, 1]: a few waves."""
    axis = torch.linspace(-1, 1, 32)
    places = torch.cartesian_prod(axis, axis)
    colour = torch.sin(7 * places[:, :1] + 3 * places[:, 1:]) * torch.cos(5 * places[:, 1:])
    return places, (colour - colour.mean()) / colour.std()


@functools.cache
def echoes() -> Samples:
    """Random series [N, 16, 4] and the class of what the first channel said twelve steps ago."""
    generator = torch.Generator().manual_seed(5)
    series = torch.randn(tasks.N, 16, 4, generator=generator)
    return series, (series[:, 3, 0] > 0).long() + 2 * (series[:, 9, 1] > 0).long()


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Cross entropy over the last axis, whatever stands before it."""
    return F.cross_entropy(output.flatten(0, -2), target.flatten())


def squared(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(output, target)


def evidence(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
    """Reconstruction and divergence of a variational autoencoder."""
    given, mean, log_variance = output
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
    return F.mse_loss(given, target) + 1e-3 * divergence


def critics(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    """Both critics answer for the same value."""
    return F.mse_loss(output[0], target) + F.mse_loss(output[1], target)
