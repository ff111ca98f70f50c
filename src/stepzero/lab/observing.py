"""What is seen of one network at one step: the measures of a check, layer by layer.

Shapes: R rows of all buffers, S samples, U units of a layer.
"""

import functools
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from stepzero.lab import activations
from stepzero.lab.program import Layer, Program
from stepzero.measure.redundancy import equal_groups
from stepzero.measure.slope import flat_shares, largest_slope

ALIKE = 1e-6
"""Units whose responses and gradients agree to this share of the layer's largest are one: float32 weights, float64
measures."""
_FLAT = 0.5
"""A unit is saturated when its activation is flat on more than half of the samples (Glorot & Bengio 2010)."""


@dataclass(frozen=True)
class Seen:
    """One layer of one network at one step; shares of units, None where the word has no meaning."""

    layer: str
    units: int
    effective_width: int
    """Units that can be told apart by what they respond and what gradient they receive."""
    saturated: float | None
    dead: float | None
    weight: float
    """Euclidean norm of the weight."""
    gradient: float
    """Euclidean norm of the weight's gradient."""


def layers(program: Program, numbers: Tensor, values_RS: Tensor, deltas_RS: Tensor, gradients: Tensor) -> list[Seen]:
    """What each layer shows, from one observed pass of one network."""
    first = [0]
    for rows in program.rows:
        first.append(first[-1] + rows)
    spans = [slice(start, stop) for start, stop in itertools.pairwise(first)]
    return [_seen(program, layer, spans, numbers, values_RS, deltas_RS, gradients) for layer in program.layers]


def _seen(
    program: Program, layer: Layer, spans: list[slice], numbers: Tensor, values: Tensor, deltas: Tensor,
    gradients: Tensor,
) -> Seen:  # fmt: skip
    W, G = (each[layer.offset : layer.bias] for each in (numbers, gradients))
    place = layer.out if layer.response is None else layer.response
    response, arrived = values[spans[place]], deltas[spans[layer.out]]
    saturated = dead = None
    if layer.response not in (None, layer.out):
        saturated, dead = _shares(program.activation, values[spans[layer.out]])
    row = torch.cat([W.view(layer.rows, -1), numbers[layer.bias : layer.bias + layer.rows, None]], 1)
    width = num_distinct(response, arrived, row)
    return Seen(layer.name, layer.rows, width, saturated, dead, float(W.norm()), float(G.norm()))


def num_distinct(response_US: Tensor, gradient_US: Tensor, rows_UN: Tensor) -> int:
    """Units that differ in response or in gradient; those that pass no gradient differ in their rows as well."""
    is_off = (gradient_US == 0).all(1, keepdim=True)
    parts = [_scaled(part) for part in (response_US, gradient_US, rows_UN * is_off)]
    vectors = torch.cat([*parts, is_off.to(response_US.dtype)], 1)
    if not vectors.isfinite().all():
        return len(vectors)
    # One more coordinate makes every vector as long as the longest, so that the tolerance is one for all.
    vectors = torch.cat([vectors, torch.ones_like(vectors[:, :1])], 1)
    return len(vectors) - sum(len(group) - 1 for group in equal_groups(vectors, ALIKE))


def _scaled(part_UN: Tensor) -> Tensor:
    """Divided by the largest norm of a unit."""
    largest = part_UN.norm(dim=1).amax()
    return part_UN / largest if largest > 0 else part_UN


def _shares(activation: str, z_US: Tensor) -> tuple[float | None, float]:
    """Share of saturated units (bounded activations only) and of units whose slope is zero on all samples."""
    phi = activations.get(activation)
    slope_SU = phi.slope(z_US, phi.value(z_US)).T
    flat, off = flat_shares(slope_SU, _largest(activation))
    saturated = float((flat > _FLAT).double().mean()) if phi.is_bounded else None
    return saturated, float((off >= 1).double().mean())


@functools.cache
def _largest(activation: str) -> float:
    return largest_slope(activations.get(activation).value, torch.zeros(1, dtype=torch.float64))


def accuracy(output_CS: Tensor, targets: Tensor) -> float | None:
    """Share of samples whose largest output is the right one; None without classes."""
    if targets.is_floating_point():
        return None
    return float((output_CS.argmax(0) == targets).double().mean())
