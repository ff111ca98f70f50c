"""The rows of a weight: for each unit the numbers of one parameter that feed it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from stepzero.core.symmetry import Width
from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.redundancy import parallel_groups, projected
from stepzero.measure.suspicion import look_alikes, of_hidden_copies, of_hidden_units, tensor_of
from stepzero.measure.uses import WEIGHTS, units, weight_use

_ROUNDINGS = 8
"""Of the weight's dtype, between a row and a multiple of it."""


def row_matrix(parameter: Tensor, use: ParameterUse) -> Tensor | None:
    """[U, N] view or copy of ``parameter``, units in the order in which the operation's result has them.

    None where the operand is computed from the parameter, or a reshape lost which axis is which.
    """
    if use.is_derived or len(use.parameter_axes) != len(use.axes) or use.slot == "recurrent":
        return None
    own = [axis for axis, role in zip(use.parameter_axes, use.axes, strict=True) if role in ("out", "group")]
    axes = [axis for axis in own if axis is not None]
    if not own or len(axes) != len(own) or use.blocks > 1 or max(axes) >= parameter.dim():
        return None
    detached = parameter.detach()
    if use.part is not None:
        detached = detached.narrow(*use.part)
    rows = detached.movedim(axes, list(range(len(axes))))
    return rows.flatten(0, len(axes) - 1).reshape(rows.shape[: len(axes)].numel(), -1)


def told_by_rows(model: nn.Module, trace: Trace) -> tuple[Width, ...]:
    """Widths of a network whose look-alikes, if any, are units with unlike rows: the batch hardly tells them apart.

    Empty where nothing was doubted, and somebody asked all the same.
    """
    if not trace.has_backward or of_hidden_units(trace):
        return ()
    alike = look_alikes(trace)
    if not (alike or of_hidden_copies(trace)) or not are_told_apart(model, alike):
        return ()
    named = {use.parameter: units(each) for each in trace.weighted() if (use := weight_use(each)) is not None}
    return tuple(Width(name, count, count) for name, count in named.items())


def are_told_apart(model: nn.Module, layers: Iterable[tuple[Operation, ParameterUse]]) -> bool:
    """Whether the rows alone say that no unit of these layers is another one, or a multiple of it.

    ``layers`` are all whose units look alike, first to last. What enters the first of them has no copies, so that
    copies among its units need rows that are alike; then none enter the second, and so on. False where rows cannot be
    read, or a unit is silent and its row says nothing.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for operation, use in layers:
        if sum(each.slot in WEIGHTS for each in operation.uses) != 1 or operation.forward is None:
            return False
        weight = parameters.get(use.parameter)
        matrix = row_matrix(weight, use) if weight is not None and weight.is_floating_point() else None
        if matrix is None or bool((tensor_of(operation.forward.unit_square) == 0).any()):
            return False
        if not bool(matrix.isfinite().all()) or not bool(matrix.any(1).all()):
            return False
        if parallel_groups(projected(matrix.cpu()), _ROUNDINGS * torch.finfo(matrix.dtype).eps):
            return False
    return True
