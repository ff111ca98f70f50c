"""From a start's name to a network's numbers, drawn parameter by parameter from streams named after them."""

import functools
import inspect

import torch
from torch import Tensor, nn

from stepzero import schemes
from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.lab import activations
from stepzero.lab.generic import stride, views
from stepzero.lab.program import Program
from stepzero.schemes.seeding import generator_for

WEIGHTS = (
    "zero", "constant", "normal", "he", "lecun", "glorot", "orthogonal", "torch_default", "spectral", "sparse",
    "selu", "identity",
)  # fmt: skip
"""Laws for weights. ``constant`` is the gain itself, ``normal`` N(0, gain^2); the others are schemes times the gain."""
BIASES = ("zero", "constant", "random")
"""Laws for biases; the scale is the constant or the deviation."""
_POSITIONS = 0.02
"""Deviation of what is added to tell the steps of a sequence apart (Radford et al. 2018)."""
_FIXED = {"zero", "constant", "identity"}


def check(weights: str, biases: str) -> None:
    """ConfigError for a law nobody knows."""
    for word, known, what in ((weights, WEIGHTS, "weights"), (biases, BIASES, "biases")):
        if word not in known:
            raise ConfigError(
                f"{what}: no law is called {word!r}{did_you_mean(word, known)}; known: {', '.join(known)}"
            )


def is_random(weights: str, gain: float, biases: str, bias_scale: float) -> bool:
    """Whether two seeds give two starts."""
    return (weights not in _FIXED and gain != 0) or (biases == "random" and bias_scale != 0)


def start(
    program: Program, *, weights: str, gain: float, biases: str, bias_scale: float, seed: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """[P] numbers of one network; a scheme with a gain takes the activation's own for all layers but the head."""
    check(weights, biases)
    numbers = torch.zeros(program.stride, dtype=dtype)
    own = _gain(program.activation)
    for layer in program.layers:
        weight = numbers[layer.offset : layer.bias].view(layer.rows, layer.columns)
        _fill_weight_(weight, weights, gain, own if layer.response is not None else 1.0, seed, f"{layer.name}.weight")
        _fill_bias_(numbers[layer.bias : layer.bias + layer.rows], biases, bias_scale, seed, f"{layer.name}.bias")
    return numbers


def module_start(
    module: nn.Module, activation: str, *, weights: str, gain: float, biases: str, bias_scale: float, seed: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """As `start`, for a module: the head takes no gain; positions are N(0, 0.02^2)."""
    check(weights, biases)
    numbers = torch.zeros(stride(module), dtype=dtype)
    for name, part in views(module, numbers).items():
        if name.endswith("bias"):
            _fill_bias_(part, biases, bias_scale, seed, name)
        elif name == "place":
            part.normal_(0.0, _POSITIONS, generator=generator_for(seed, name))
        else:
            _fill_weight_(part, weights, gain, 1.0 if name.startswith("head") else _gain(activation), seed, name)
    return numbers


@functools.cache
def _gain(activation: str) -> float:
    """What keeps the second moment across the activation."""
    return schemes.activation_gain(activations.get(activation).value)


def _fill_weight_(weight: Tensor, law: str, gain: float, consumer: float, seed: int, name: str) -> None:
    generator = generator_for(seed, name)
    if law == "zero":
        return
    if law == "constant":
        weight.fill_(gain)
    elif law == "normal":
        weight.normal_(0.0, gain, generator=generator)
    else:
        fill = schemes.get(law)
        takes_gain = law != "he" and "gain" in inspect.signature(fill).parameters
        fill(weight, generator=generator, **({"gain": consumer} if takes_gain else {}))
        weight.mul_(gain)


def _fill_bias_(bias: Tensor, law: str, scale: float, seed: int, name: str) -> None:
    if law == "constant":
        bias.fill_(scale)
    elif law == "random":
        bias.normal_(0.0, scale, generator=generator_for(seed, name))
