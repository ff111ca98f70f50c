"""Learned tables that are no weights (queries, slots, prompts, registers): which of their rows are equal.

Shapes: R rows, N numbers a row.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from stepzero.core.trace import Operation, ParameterUse
from stepzero.measure.redundancy import equal_groups, twin_groups

_LARGEST = 1 << 20
"""Numbers; larger tables are looked up, not read whole."""
TOLD = 8
"""Rows of a looked-up table that are named."""
_SAME = 1e-4
"""Relative difference of two gradients in float32 that may be one."""
_COLUMNS = 4
"""Numbers of a row that are compared first: random ones that share four share all."""
_PLAIN = (Tensor, nn.Parameter)
_WEIGHTS = frozenset(["weight", "recurrent"])


def weight_names(operations: Iterable[Operation]) -> set[str]:
    """Parameters that some operation itself multiplies the data with or looks rows up in."""
    return {
        use.parameter
        for operation in operations
        for use in operation.uses
        if not use.is_derived and (use.slot in _WEIGHTS or (use.slot == "table" and operation.kind == "weighted"))
    }


def table_names(operations: Iterable[Operation]) -> set[str]:
    """Parameters that an index is looked up in, as they stand."""
    return {
        use.parameter
        for operation in operations
        for use in operation.uses
        if use.slot == "table" and operation.kind == "weighted" and not use.is_derived
    }


def score_names(operations: Sequence[Operation]) -> set[str]:
    """Parameters that are only ever added to what one softmax reads: a row each head, and heads differ by weights."""
    readers: dict[int, list[Operation]] = {}
    for operation in operations:
        for source in operation.inputs:
            readers.setdefault(source, []).append(operation)
    scores, others = set[str](), set[str]()
    for operation in operations:
        is_score = operation.kind == "add" and {each.kind for each in readers.get(operation.index, [])} == {"softmax"}
        (scores if is_score else others).update(use.parameter for use in operation.uses)
    return scores - others


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
    rows = rows_of(tensor)
    first = rows[:, 0].sort().values
    if not bool((first[1:] == first[:-1]).any()):  # as in nearly every table
        return []
    return twin_groups(rows)


def num_repeated(tensor: Tensor, gradient: Tensor | None) -> int:
    """Rows that are equal to an earlier one, and get its gradient as far as that is known.

    A row that gets none where others do was not asked for: of it nothing is known.
    """
    groups = equal_rows(tensor)
    if gradient is None or gradient.layout != torch.strided or gradient.shape != tensor.shape:
        return sum(len(group) - 1 for group in groups)
    rows = rows_of(gradient).to("cpu", torch.float64)
    arrives = rows.any(1)
    if bool(arrives.any()):
        groups = [[row for row in group if bool(arrives[row])] for group in groups]
    return sum(len(same) - 1 for group in groups if group for same in equal_groups(rows[group], _SAME))


def equal_table_rows(table: Tensor) -> tuple[int, ...]:
    """Rows of a table [R, N] that are not zero and equal another one; a table of one number a row says nothing.

    Of a large table four columns are read, and whole rows only where these agree.
    """
    if table.dim() != 2 or table.shape[1] < _COLUMNS or not table.is_floating_point() or type(table) not in _PLAIN:
        return ()
    few = table.detach()[:, :_COLUMNS].double()
    keys = few @ torch.arange(1, _COLUMNS + 1, dtype=torch.float64, device=few.device).sqrt()
    values, order = keys.sort()
    twice = torch.zeros_like(values, dtype=torch.bool)
    same = values[1:] == values[:-1]
    twice[1:] |= same
    twice[:-1] |= same
    rows = order[twice & (values != 0)].sort().values[: _LARGEST // table.shape[1]]
    if not len(rows):
        return ()
    return tuple(sorted(int(rows[place]) for group in twin_groups(table.detach()[rows]) for place in group[1:]))
