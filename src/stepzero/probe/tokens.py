"""Learned tables that are no weights (queries, slots, prompts, registers): which of their rows are equal.

Shapes: R rows, N numbers a row.
"""

from collections.abc import Iterable

from torch import Tensor

from stepzero.core.trace import Operation, ParameterUse
from stepzero.measure.redundancy import twin_groups

_LARGEST = 1 << 20
"""Numbers; larger tables are looked up, not read whole."""
_WEIGHTS = frozenset(["weight", "recurrent"])


def weight_names(operations: Iterable[Operation]) -> set[str]:
    """Parameters that some operation itself multiplies the data with or looks rows up in."""
    return {
        use.parameter
        for operation in operations
        for use in operation.uses
        if not use.is_derived and (use.slot in _WEIGHTS or (use.slot == "table" and operation.kind == "weighted"))
    }


def _is_direct(use: ParameterUse) -> bool:
    """Weights under a parametrisation count; what is computed from tokens meets the data batch entry by batch entry."""
    return not use.is_derived or "group" not in use.axes


def rows_of(tensor: Tensor) -> Tensor:
    """[R, N] view of a table, leading axes joined."""
    return tensor.detach().reshape(-1, tensor.shape[-1])


def equal_rows(tensor: Tensor) -> list[list[int]]:
    """Groups of equal rows; none of what cannot be a set of tokens."""
    is_table = tensor.dim() > 1 and tensor.shape[-1] > 1 and 0 < tensor.numel() <= _LARGEST
    if not is_table or not tensor.is_floating_point() or tensor.is_meta:
        return []
    return twin_groups(rows_of(tensor))
