"""Activations the fleet knows: value and slope, in the order of the kernel's own list."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stepzero.core.errors import ConfigError, did_you_mean

Value = Callable[[Tensor], Tensor]
Slope = Callable[[Tensor, Tensor], Tensor]

LECUN_TOP, LECUN_INNER = 1.7159, 2.0 / 3.0
"""1.7159 tanh(2z/3) maps 1 to 1 and -1 to -1 (LeCun, Bottou, Orr & Mueller 1998)."""
SLOPE = 0.01
"""Slope of the leaky ReLU below zero."""
GELU_INNER, GELU_CUBE = 0.79788456080286535588, 0.044715
"""sqrt(2 / pi) and the cubic coefficient of the tanh form (Hendrycks & Gimpel 2016)."""


@dataclass(frozen=True)
class Activation:
    """One elementwise function; ``slope`` takes the input z and the value h = value(z)."""

    name: str
    number: int
    value: Value
    slope: Slope
    is_bounded: bool = False


def _silu_slope(z: Tensor, h: Tensor) -> Tensor:
    s = torch.sigmoid(z)
    return s + h * (1 - s)


def _gelu_slope(z: Tensor, _: Tensor) -> Tensor:
    t = torch.tanh((z + z * z * z * GELU_CUBE) * GELU_INNER)
    return (1 + t) * 0.5 + z * (1 - t * t) * (1 + z * z * (3 * GELU_CUBE)) * GELU_INNER * 0.5


_ALL = (
    Activation("identity", 0, lambda z: z, lambda z, _: torch.ones_like(z)),
    Activation("relu", 1, torch.relu, lambda z, _: (z > 0).to(z.dtype)),
    Activation("tanh", 2, torch.tanh, lambda _, h: 1 - h * h, is_bounded=True),
    Activation(
        "lecun_tanh",
        3,
        lambda z: torch.tanh(z * LECUN_INNER) * LECUN_TOP,
        lambda _, h: (1 - (h / LECUN_TOP).square()) * (LECUN_TOP * LECUN_INNER),
        is_bounded=True,
    ),
    Activation("sigmoid", 4, torch.sigmoid, lambda _, h: h * (1 - h), is_bounded=True),
    Activation("softsign", 5, F.softsign, lambda z, _: 1 / (1 + z.abs()).square(), is_bounded=True),
    Activation("silu", 6, F.silu, _silu_slope),
    Activation("gelu_tanh", 7, lambda z: F.gelu(z, approximate="tanh"), _gelu_slope),
    Activation(
        "leaky_relu",
        8,
        lambda z: F.leaky_relu(z, SLOPE),
        lambda z, _: torch.full_like(z, SLOPE).masked_fill(z > 0, 1.0),
    ),
)
ACTIVATIONS = {each.name: each for each in _ALL}


def get(name: str) -> Activation:
    """The activation of that name.

    Raises:
        ValueError: there is none; the nearest is named.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(
            f"no activation of the lab is called {name!r}{did_you_mean(name, ACTIVATIONS)}; "
            f"known: {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]
