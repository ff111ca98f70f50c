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

UNITS = 32
"""Units of a layer that are asked, evenly spaced."""
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
    """The Trace with `Operation.unexplained` filled in."""
    return replace(trace, operations=tuple(_told(trace, operation) for operation in trace.operations))


def _told(trace: Trace, operation: Operation) -> Operation:
    is_asked = operation.kind == "activation" and operation.from_input and not operation.in_loss
    if not is_asked or operation.name in KINKED:
        return operation
    source = before(trace, operation)
    if source is None or source.forward is None:
        return operation
    return replace(operation, unexplained=_of_layer(operation, source.forward))


def _of_layer(activation: Operation, signal: Signal) -> float | None:
    """Mean over units that vary; None where none does, or the activation is none that is known."""
    phi = function_of(activation.name, activation.attributes)
    if phi is None or signal.nonfinite or not signal.units:
        return None
    chosen = torch.linspace(0, signal.units - 1, min(signal.units, UNITS), dtype=torch.float64).round().long()
    mean_U, square_U = (tensor_of(column)[chosen] for column in (signal.unit_mean, signal.unit_square))
    variance_U = square_U - mean_U.square()
    varies_U = variance_U > _ROUNDINGS * unit_roundoff("float32") * square_U
    try:
        share_U = unexplained(phi, mean_U[varies_U], variance_U[varies_U].sqrt())
    except (RuntimeError, TypeError, ValueError):
        return None
    share = float(share_U.nanmean())
    return share if math.isfinite(share) else None
