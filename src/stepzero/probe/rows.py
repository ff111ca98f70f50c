"""The rows of a weight: for each unit the numbers of one parameter that feed it."""

from torch import Tensor

from stepzero.core.trace import ParameterUse


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
