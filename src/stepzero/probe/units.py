"""Which axis of a result counts units: channels of a convolution, features of a linear layer, the head width."""

import math
from collections.abc import Container
from typing import Any

from torch import Tensor

from stepzero.core.trace import ParameterUse
from stepzero.probe import views
from stepzero.probe.uses import flat_tensors

_SPATIAL = {"conv1d": 1, "conv2d": 2, "conv3d": 3, "conv_transpose1d": 1, "conv_transpose2d": 2, "conv_transpose3d": 3}
_CHANNEL_NORMS = frozenset(["batch_norm", "group_norm", "instance_norm", "local_response_norm"])
_FEATURE_NORMS = frozenset(["layer_norm", "rms_norm"])
_REDUCTIONS = frozenset(
    ["mean", "sum", "amax", "amin", "logsumexp", "norm", "max", "min", "prod", "any", "all", "argmax"]
)
_LEFT = frozenset(["matmul", "mm", "bmm", "addmm", "baddbmm", "addbmm"])


_PACKED = frozenset("lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell".split())
"""Gates and layers share one call: its result has fewer units than the weight has rows."""


def of_input(shape: tuple[int, ...]) -> int | None:
    """Unit axis of a batch tensor: channels (axis 1) of images and volumes, else the last axis."""
    if not shape:
        return None
    return 1 if len(shape) >= 4 else len(shape) - 1


def of_result(
    name: str,
    kind: str,
    call: tuple[tuple[Any, ...], dict[str, Any]],
    shape: tuple[int, ...],
    source: tuple[int, ...] = (),
    axis: int | None = None,
    *,
    result: Tensor | None = None,
    weights: Container[int] = (),
) -> int | None:
    """Unit axis of a result of ``shape``, given its first data operand's shape and unit axis.

    ``weights`` has the ids of the operands that are parameters; ``result`` is needed to look through views.
    """
    (args, kwargs), rank = call, len(shape)
    if rank == 0:
        return None
    if name in _SPATIAL:
        return 1 if rank == _SPATIAL[name] + 2 else 0
    if kind in ("weighted", "attention"):
        return _of_product(name, args, rank, weights)
    if name in _CHANNEL_NORMS and rank >= 2:
        return 1
    if axis is None or axis >= len(source) or (name in _FEATURE_NORMS and _is_of_one_axis(args, kwargs)):
        return rank - 1
    if kind == "view":
        return _through_view(args, shape, source, axis, result)
    if name == "stack":
        dim = _dims(args, kwargs) or (0,)
        return axis + (dim[0] % rank <= axis)
    if name in _REDUCTIONS and rank < len(source):
        return _after_reduction(_dims(args, kwargs), rank, len(source), axis)
    return axis if rank == len(source) else rank - 1


def of_rows(name: str, args: tuple[Any, ...], use: ParameterUse, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Axes of a result of ``shape`` that run over the rows of the weight ``use``, in the order of the weight's axes.

    A weight of several groups (experts, heads) has rows in each. None where that cannot be told.
    """
    own = [axis for axis, role in enumerate(use.axes) if role in ("out", "group")]
    rank, width = len(shape), len(use.axes)
    if name in _SPATIAL:
        return (1 if rank == _SPATIAL[name] + 2 else 0,)
    if name == "einsum":
        axes = _of_einsum(args, use, own, rank)
    elif name in ("tensordot", "grouped_mm") or name not in _LEFT:
        own = [axis for axis in own if use.axes[axis] == "out"]
        axes = tuple(range(rank - len(own), rank))
    else:
        last = rank - 2 if use.axes[-2:] == ("out", "in") and rank > 1 else rank - 1
        axes = tuple(last if use.axes[axis] == "out" else rank - width + axis for axis in own)
    is_whole = name in _PACKED or [shape[axis] for axis in axes or () if axis >= 0] == [use.shape[axis] for axis in own]
    return axes if axes and is_whole and rank > 0 else None


def _of_einsum(args: tuple[Any, ...], use: ParameterUse, own: list[int], rank: int) -> tuple[int, ...] | None:
    equation = args[0].replace(" ", "") if args and isinstance(args[0], str) else ""
    inputs, _, output = equation.partition("->")
    for term, operand in zip(inputs.split(","), flat_tensors(args[1:]), strict=False):
        letters = [term[axis] for axis in own if axis < len(term)]
        if tuple(operand.shape) == use.shape and len(term) == len(use.axes) and all(each in output for each in letters):
            tail = output.rpartition(".")[2]
            if all(each in tail for each in letters):
                return tuple(rank - len(tail) + tail.index(each) for each in letters)
    return None


def _is_of_one_axis(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    shape = args[1] if len(args) > 1 else kwargs.get("normalized_shape")
    return isinstance(shape, int) or (isinstance(shape, tuple | list) and len(shape) == 1)


def _of_product(name: str, args: tuple[Any, ...], rank: int, weights: Container[int]) -> int:
    """Features come last, unless the weight stands on the left (``W @ x``) or the equation says otherwise."""
    if name == "einsum" and args and isinstance(args[0], str):
        inputs, _, output = args[0].replace(" ", "").partition("->")
        for term, operand in zip(inputs.split(","), flat_tensors(args[1:]), strict=False):
            if id(operand) in weights:
                own = [letter for letter in term if inputs.count(letter) == 1 and letter in output]
                return rank - len(output) + output.index(own[-1]) if own and "." not in output else rank - 1
    left = 1 if name in ("addmm", "baddbmm", "addbmm") else 0
    is_left = len(args) > left + 1 and id(args[left]) in weights and id(args[left + 1]) not in weights
    if name in _LEFT and is_left and args[left + 1].dim() > 1:
        return max(0, rank - 2)
    return rank - 1


def _through_view(
    args: tuple[Any, ...], shape: tuple[int, ...], source: tuple[int, ...], axis: int, result: Tensor | None
) -> int:
    operand = args[0] if args and isinstance(args[0], Tensor) and tuple(args[0].shape) == source else None
    if operand is not None and result is not None and views.shares_memory(operand, result):
        origin = views.origin_of(operand, result)
        return origin.index(axis) if axis in origin else len(shape) - 1
    if len(shape) == len(source) and shape[axis] == source[axis]:
        return axis
    return _matched(shape, source, axis)


def _matched(shape: tuple[int, ...], source: tuple[int, ...], axis: int) -> int:
    """The result axis that starts at the same stride and has the same size; after merging or splitting, the last."""
    before = math.prod(source[:axis])
    for candidate in range(len(shape)):
        if math.prod(shape[:candidate]) == before and shape[candidate] == source[axis]:
            return candidate
    return len(shape) - 1


def _dims(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    dims = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis"))
    if isinstance(dims, int) and not isinstance(dims, bool):
        return (dims,)
    return tuple(dims) if isinstance(dims, tuple | list) else ()


def _after_reduction(dims: tuple[int, ...], rank: int, old: int, axis: int) -> int:
    reduced = {item % old for item in dims}
    if axis in reduced or not reduced:
        return rank - 1
    return min(axis - sum(item < axis for item in reduced), rank - 1)
