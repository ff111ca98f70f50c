"""How an operation uses its parameters: slot, axis roles, true fans, packed blocks.

One entry a kind of operation. ``operands`` maps ``id(tensor)`` to the `View` of the parameter it is.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from stepzero.core.trace import ParameterUse
from stepzero.measure import fans
from stepzero.probe.nodes import View

Operands = dict[int, View]
_NORM_SLOTS = {
    "layer_norm": (2, 3),
    "batch_norm": (3, 4),
    "group_norm": (2, 3),
    "rms_norm": (2, 9),
    "instance_norm": (3, 4),
}
_NEVER = frozenset([bool, int, float, str, type(None)])
_GATES = {"lstm": 4, "lstm_cell": 4, "gru": 3, "gru_cell": 3}


def describe(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> tuple[ParameterUse, ...]:
    """Describe every parameter that enters the call ``name(*args, **kwargs)``."""
    reader = _READERS.get(name)
    found = list(reader(name, args, kwargs, operands)) if reader else []
    known = {use.parameter for use in found}
    if known.issuperset([view.parameter for view in operands.values()]):
        return tuple(found)
    found += [
        _use(view, "operand", tensor, ("-",) * tensor.dim())
        for tensor in flat_tensors((*args, *kwargs.values()))
        if (view := operands.get(id(tensor))) is not None and view.parameter not in known
    ]
    return tuple(found)


def flat_tensors(values: Iterable[Any]) -> list[Tensor]:
    """Tensors among ``values`` and one or two levels of lists, tuples and dicts inside them."""
    found: list[Tensor] = []
    for value in values:
        if type(value) in _NEVER:  # most arguments: every call is asked, and this is the quickest question
            continue
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += flat_tensors(value)
        elif isinstance(value, dict):
            found += flat_tensors(value.values())
    return found


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """The shape; () for ragged tensors, which have no one shape and are not measured."""
    return () if tensor.is_nested else tuple(tensor.shape)


@functools.lru_cache(maxsize=256)
def name_of(kind: torch.dtype | torch.device) -> str:
    """Short name of a dtype or a device, which torch spells out anew each time it is asked."""
    return str(kind).removeprefix("torch.")


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: Any = None) -> Any:
    """Positional-or-keyword argument of a call."""
    return args[position] if position < len(args) else kwargs.get(name, default)


def _use(
    view: View,
    slot: str,
    tensor: Tensor,
    axes: tuple[str, ...],
    fan: tuple[float | None, float | None] = (None, None),
    blocks: int = 1,
) -> ParameterUse:
    return ParameterUse(
        parameter=view.parameter,
        slot=slot,
        shape=shape_of(tensor),
        axes=axes,
        fan_in=fan[0],
        fan_out=fan[1],
        blocks=blocks,
        parameter_axes=view.axes,
        part=view.part,
        is_derived=view.is_derived,
    )


def _maybe(operands: Operands, tensor: Any, slot: str, axes: tuple[str, ...]) -> Iterable[ParameterUse]:
    view = operands.get(id(tensor)) if isinstance(tensor, Tensor) else None
    if view is not None:
        yield _use(view, slot, tensor, axes if len(axes) == tensor.dim() else ("-",) * tensor.dim())


def _linear(_: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    weight, bias = argument(args, kwargs, 1, "weight"), argument(args, kwargs, 2, "bias")
    if (view := operands.get(id(weight))) is not None:
        axes = ("out", "in") if weight.dim() == 2 else ("in",)
        yield _use(view, "weight", weight, axes, fans.contraction_fans(weight.shape, axes))
    yield from _maybe(operands, bias, "bias", ("unit",))


def _matmul(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    offset = 1 if name in ("addmm", "baddbmm", "addbmm", "addmv") else 0
    left = argument(args, kwargs, offset, "mat1" if offset else "input")
    right = argument(args, kwargs, offset + 1, "mat2" if offset else "other")
    if offset:
        yield from _maybe(operands, argument(args, kwargs, 0, "input"), "bias", ("unit",))
    of_right = ("out", "in") if name == "inner" else ("in", "out")
    for tensor, pair in ((left, ("out", "in")), (right, of_right)):
        view = operands.get(id(tensor)) if isinstance(tensor, Tensor) else None
        if view is None:
            continue
        axes = ("in",) if tensor.dim() == 1 else ("group",) * (tensor.dim() - 2) + pair
        yield _use(view, "weight", tensor, axes, fans.contraction_fans(tensor.shape, axes))


def _einsum(_: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    equation = args[0] if args and isinstance(args[0], str) else kwargs.get("equation")
    tensors = list(flat_tensors(args[1:]))
    shapes = [tuple(tensor.shape) for tensor in tensors]
    for position, tensor in enumerate(tensors):
        if (view := operands.get(id(tensor))) is None or not isinstance(equation, str):
            continue
        axes = fans.einsum_axes(equation, position)
        if axes is None or len(axes) != tensor.dim():
            yield _use(view, "weight", tensor, ("-",) * tensor.dim())
        else:
            yield _use(view, "weight", tensor, axes, fans.einsum_fans(equation, shapes, position))


def _tensordot(_: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    left, right = argument(args, kwargs, 0, "a"), argument(args, kwargs, 1, "b")
    dims = argument(args, kwargs, 2, "dims", 2)
    pairs = (range(-dims, 0), range(dims)) if isinstance(dims, int) else dims
    if not isinstance(pairs, tuple | list) or len(pairs) != 2:
        return
    for tensor, summed in zip((left, right), pairs, strict=True):
        if (view := operands.get(id(tensor))) is not None:
            contracted = {int(axis) % tensor.dim() for axis in summed}
            axes = tuple("in" if axis in contracted else "out" for axis in range(tensor.dim()))
            yield _use(view, "weight", tensor, axes, fans.contraction_fans(tensor.shape, axes))


def _convolution(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands
) -> Iterable[ParameterUse]:
    weight, bias = argument(args, kwargs, 1, "weight"), argument(args, kwargs, 2, "bias")
    is_transposed = name.startswith("conv_transpose")
    if (view := operands.get(id(weight))) is not None:
        stride = _tuple(argument(args, kwargs, 3, "stride", 1), weight.dim() - 2)
        groups = argument(args, kwargs, 6, "groups", 1)
        law = fans.transposed_convolution_fans if is_transposed else fans.convolution_fans
        axes = (("in", "out") if is_transposed else ("out", "in")) + ("in",) * (weight.dim() - 2)
        yield _use(view, "weight", weight, axes, law(tuple(weight.shape), groups, stride))
    yield from _maybe(operands, bias, "bias", ("unit",))


def _tuple(value: Any, length: int) -> tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, tuple | list) else (int(value),)
    return numbers * length if len(numbers) == 1 else numbers


def _bilinear(_: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    weight, bias = argument(args, kwargs, 2, "weight"), argument(args, kwargs, 3, "bias")
    if (view := operands.get(id(weight))) is not None:
        out, first, second = weight.shape
        yield _use(view, "weight", weight, ("out", "in", "in"), (float(first * second), float(out * second)))
    yield from _maybe(operands, bias, "bias", ("unit",))


def _lookup(_: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    for tensor in flat_tensors((*args, *kwargs.values())):
        if (view := operands.get(id(tensor))) is not None and tensor.dim() == 2:
            yield _use(view, "table", tensor, ("row", "out"), (1.0, None))


def _bag(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    rows, table = argument(args, kwargs, 0, "input"), argument(args, kwargs, 1, "weight")
    offsets, mode = argument(args, kwargs, 2, "offsets"), argument(args, kwargs, 6, "mode", "mean")
    if not (isinstance(rows, Tensor) and isinstance(table, Tensor) and isinstance(mode, str)):
        yield from _lookup(name, args, kwargs, operands)  # torch.embedding_bag has another order and numbers its modes
        return
    if (view := operands.get(id(table))) is not None:
        bags = len(rows) if rows.dim() == 2 else len(offsets) if isinstance(offsets, Tensor) else 1
        fan_in = fans.bag_fan(rows.numel() / bags if bags else 0.0, mode)
        yield _use(view, "table", table, ("row", "out"), (fan_in, None))


def _recurrent(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    blocks, matrices = _GATES.get(name, 1), 0
    for tensor in flat_tensors((*args, *kwargs.values())):
        if (view := operands.get(id(tensor))) is None:
            continue
        if tensor.dim() == 1:
            yield _use(view, "bias", tensor, ("unit",), blocks=blocks)
            continue
        rows, columns = tensor.shape
        is_recurrent = "_hh" in view.parameter or (matrices % 2 == 1 and "_ih" not in view.parameter)
        is_projection = "_hr" in view.parameter
        matrices += 1
        packed = 1 if is_projection else blocks
        yield _use(
            view,
            "recurrent" if is_recurrent else "weight",
            tensor,
            ("out", "in"),
            (float(columns), float(rows) / packed),
            packed,
        )


def _norm(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    gain, shift = _NORM_SLOTS[name]
    for position, key, slot in ((gain, "weight", "gain"), (shift, "bias", "shift")):
        tensor = argument(args, kwargs, position, key)
        if tensor is not None and (view := operands.get(id(tensor))) is not None:
            yield _use(view, slot, tensor, ("unit",) * tensor.dim())


def _added(_: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    for tensor in flat_tensors((*args, *kwargs.values())):
        if (view := operands.get(id(tensor))) is not None:
            is_bias = sum(size > 1 for size in tensor.shape) <= 1
            yield _use(view, "bias" if is_bias else "table", tensor, ("unit",) * tensor.dim())


def _multiplied(_: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Operands) -> Iterable[ParameterUse]:
    for tensor in flat_tensors((*args, *kwargs.values())):
        if (view := operands.get(id(tensor))) is not None:
            yield _use(view, "gain", tensor, ("unit",) * tensor.dim())


_READERS: dict[str, Callable[..., Iterable[ParameterUse]]] = {
    "linear": _linear,
    "einsum": _einsum,
    "tensordot": _tensordot,
    "bilinear": _bilinear,
    **dict.fromkeys(["matmul", "mm", "bmm", "mv", "dot", "inner", "grouped_mm"], _matmul),
    **dict.fromkeys(["addmm", "baddbmm", "addbmm", "addmv"], _matmul),
    **dict.fromkeys(["conv1d", "conv2d", "conv3d"], _convolution),
    **dict.fromkeys(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], _convolution),
    "embedding": _lookup,
    "embedding_bag": _bag,
    **dict.fromkeys(["lstm", "gru", "rnn_tanh", "rnn_relu"], _recurrent),
    **dict.fromkeys(["lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"], _recurrent),
    **dict.fromkeys(_NORM_SLOTS, _norm),
    **dict.fromkeys(["add", "sub", "rsub"], _added),
    **dict.fromkeys(["mul", "div"], _multiplied),
}
