"""Which axis of a result counts units: channels of a convolution, features of a linear layer, the head width."""

import math
from typing import Any

_SPATIAL = {"conv1d": 1, "conv2d": 2, "conv3d": 3, "conv_transpose1d": 1, "conv_transpose2d": 2, "conv_transpose3d": 3}
_CHANNEL_NORMS = frozenset(["batch_norm", "group_norm", "instance_norm", "local_response_norm"])
_REDUCTIONS = frozenset(
    ["mean", "sum", "amax", "amin", "logsumexp", "norm", "max", "min", "prod", "any", "all", "argmax"]
)


def of_input(shape: tuple[int, ...]) -> int | None:
    """Unit axis of a batch tensor: channels (axis 1) of images and volumes, else the last axis."""
    if not shape:
        return None
    return 1 if len(shape) >= 4 else len(shape) - 1


def of_result(
    name: str, kind: str, args: tuple[Any, ...], shape: tuple[int, ...], source: tuple[int, ...], axis: int | None
) -> int | None:
    """Unit axis of a result of ``shape``, given its first data operand's shape and unit axis."""
    rank = len(shape)
    if rank == 0:
        return None
    if name in _SPATIAL:
        return 1 if rank == _SPATIAL[name] + 2 else 0
    if kind in ("weighted", "attention"):
        return rank - 1
    if name in _CHANNEL_NORMS and rank >= 2:
        return 1
    if axis is None or axis >= len(source):
        return rank - 1
    if kind == "view":
        return _through_view(name, args, shape, source, axis)
    if name in _REDUCTIONS and rank < len(source):
        return _after_reduction(args, shape, source, axis)
    return axis if rank == len(source) else rank - 1


def _through_view(name: str, args: tuple[Any, ...], shape: tuple[int, ...], source: tuple[int, ...], axis: int) -> int:
    rank = len(source)
    if name in ("transpose", "movedim") and len(args) >= 3 and isinstance(args[1], int) and isinstance(args[2], int):
        a, b = args[1] % rank, args[2] % rank
        if name == "transpose":
            return b if axis == a else a if axis == b else axis
    if name in ("t", "T", "mT") and rank >= 2:
        return {rank - 1: rank - 2, rank - 2: rank - 1}.get(axis, axis)
    if name == "permute" and len(args) >= 2:
        order = args[1] if isinstance(args[1], tuple | list) else args[1:]
        order = [item % rank for item in order]
        return order.index(axis) if axis in order else len(shape) - 1
    if len(shape) == rank and shape[axis] == source[axis]:
        return axis
    return _matched(shape, source, axis)


def _matched(shape: tuple[int, ...], source: tuple[int, ...], axis: int) -> int:
    """The result axis that starts at the same stride and has the same size; after merging or splitting, the last."""
    before = math.prod(source[:axis])
    for candidate in range(len(shape)):
        if math.prod(shape[:candidate]) == before and shape[candidate] == source[axis]:
            return candidate
    return len(shape) - 1


def _after_reduction(args: tuple[Any, ...], shape: tuple[int, ...], source: tuple[int, ...], axis: int) -> int:
    dims = args[1] if len(args) > 1 and isinstance(args[1], int | tuple | list) else ()
    reduced: set[int] = {item % len(source) for item in ((dims,) if isinstance(dims, int) else dims)}
    if axis in reduced or not reduced:
        return len(shape) - 1
    return min(axis - sum(item < axis for item in reduced), len(shape) - 1)
