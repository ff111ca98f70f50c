"""How much of an activation is a straight line where its inputs lie? By quadrature, for each unit's own Gaussian."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from stepzero.core.trace import Operation, Signal, Trace
from stepzero.measure.gain import function_of
from stepzero.measure.homogeneous import KINKED
from stepzero.measure.quadrature import normal_points
from stepzero.measure.roundoff import unit_roundoff
from stepzero.measure.suspicion import tensor_of
from stepzero.measure.uses import before

UNITS = 8
"""Units of a layer that are asked, evenly spaced: the mean over them is within a factor two where a limit is one of
thousands."""
_BENT = {"gelu": 0.05, "silu": 0.05, "mish": 0.05, "hardswish": 0.05, "hardsigmoid": 3.0}
_BENT_LEAST = 0.3
"""Deviation around zero at which an activation bends by more than 2e-4; of a sigmoid, the straightest, 0.3."""
_ASIDE = 0.9
"""Mean, of the rms, from which the inputs lie on one side of the bend."""
_FEW = 4
"""Where less than one of so many may be a line, they are not most, with gates among them or not."""
_ROUNDINGS = 16.0
"""Of float32 in the second moment, of float64 in a response: what a variance has to rise above."""


def unexplained(phi: Callable[[Tensor], Tensor], mean_U: Tensor, deviation_U: Tensor) -> Tensor:
    """[U] share of Var phi(z), 0 to 1, that the best a z + b leaves, z ~ N(mean, deviation^2); NaN where that is 0.

    What is left is integrated itself: as a difference of moments it would drown in rounding below 1e-9.
    """
    points_P, weights_P = normal_points()
    value_UP = phi(mean_U[:, None] + deviation_U[:, None] * points_P)
    centred_UP = value_UP - (value_UP @ weights_P)[:, None]
    left_UP = centred_UP - (centred_UP @ (weights_P * points_P))[:, None] * points_P
    variance_U = centred_UP.square() @ weights_P
    floor_U = (_ROUNDINGS * unit_roundoff("float64") * value_UP.abs().amax(1)).square()
    return torch.where(variance_U > floor_U, left_UP.square() @ weights_P / variance_U, math.nan)


def with_unexplained(trace: Trace) -> Trace:
    """What `told` returns, but the Trace as it is where nearly all activations are seen to bend without any integral.

    Their inputs are spread over a good part of the curve then.
    """
    sources = [(each.name, source) for each in trace.operations if (source := _source(trace, each)) is not None]
    if _FEW * sum(_may_be_a_line(name, source) for name, source in sources) < len(sources):
        return trace
    return told(trace)


def told(trace: Trace) -> Trace:
    """The Trace with `Operation.unexplained` filled in; layers of one activation are worked out together."""
    asked: dict[tuple[object, ...], dict[int, tuple[Tensor, Tensor]]] = {}
    for operation in trace.operations:
        if (read := _read(trace, operation)) is not None:
            asked.setdefault((operation.name, *operation.attributes.items()), {})[operation.index] = read
    found: dict[int, float] = {}
    for layers in asked.values():
        first = trace.operations[next(iter(layers))]
        found |= _shares(function_of(first.name, first.attributes), layers)
    if not found:
        return trace
    operations = (
        replace(each, unexplained=found[each.index]) if each.index in found else each for each in trace.operations
    )
    return replace(trace, operations=tuple(operations))


def _source(trace: Trace, operation: Operation) -> Signal | None:
    """What an activation that is curved reads."""
    is_asked = operation.kind == "activation" and operation.from_input and not operation.in_loss
    source = before(trace, operation) if is_asked and operation.name not in KINKED else None
    signal = source.forward if source is not None else None
    return signal if signal is not None and not signal.nonfinite and signal.units else None


def _may_be_a_line(name: str, signal: Signal) -> bool:
    return signal.rms < _BENT.get(name, _BENT_LEAST) or abs(signal.mean) > _ASIDE * signal.rms


def _read(trace: Trace, operation: Operation) -> tuple[Tensor, Tensor] | None:
    """[U] means and deviations of what an activation reads, in units that vary."""
    signal = _source(trace, operation)
    if signal is None:
        return None
    chosen = torch.linspace(0, signal.units - 1, min(signal.units, UNITS), dtype=torch.float64).round().long()
    mean_U, square_U = (tensor_of(column)[chosen] for column in (signal.unit_mean, signal.unit_square))
    variance_U = square_U - mean_U.square()
    varies_U = variance_U > _ROUNDINGS * unit_roundoff("float32") * square_U
    return mean_U[varies_U], variance_U[varies_U].sqrt()


def _shares(phi: Callable[[Tensor], Tensor] | None, layers: dict[int, tuple[Tensor, Tensor]]) -> dict[int, float]:
    """Mean over the units of each layer; of those where any varies, and of an activation that is known."""
    means, deviations = zip(*layers.values(), strict=True)
    try:
        share_U = unexplained(phi, torch.cat(means), torch.cat(deviations)) if phi is not None else None
    except (RuntimeError, TypeError, ValueError):
        return {}
    if share_U is None:
        return {}
    each = zip(layers, share_U.split([len(mean) for mean in means]), strict=True)
    shares = {index: float(units_U.nanmean()) for index, units_U in each}
    return {index: share for index, share in shares.items() if math.isfinite(share)}
