"""Run a model in float64 whatever it says about dtypes: casts to narrower kinds are ignored, mixed operands widened."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stepzero.probe.settings import without_dropout
from stepzero.probe.uses import flat_tensors
from stepzero.probe.vocabulary import DROPOUTS, Spec, spec_of

_WIDER = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
}
_DROPPING = DROPOUTS | {"multi_head_attention_forward"}
_NARROWING = frozenset(["float", "half", "bfloat16"])


def widened(value: Any) -> Any:
    """``value`` with every narrow floating-point tensor and dtype in it replaced by its float64 counterpart."""
    if isinstance(value, Tensor):
        wide = None if value.is_meta else _WIDER.get(value.dtype)
        return value.to(wide) if wide is not None else value
    if isinstance(value, torch.dtype):
        return _WIDER.get(value, value)
    if type(value) in (list, tuple):
        return type(value)(widened(item) for item in value)
    if type(value) is dict:
        return {key: widened(item) for key, item in value.items()}
    return value


class Double(TorchFunctionMode):
    """Ask every torch call for float64 results; calls on integers and truth values alone stay as they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch call in float64."""
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in _NARROWING and args and isinstance(args[0], Tensor):
            return args[0].to(torch.float64)
        if name == "grad":  # a widened copy of a leaf is not the leaf that the derivative is asked for
            return func(*args, **kwargs)
        if not name.endswith("_") and _is_mixed(args, kwargs):
            args, kwargs = widened(args), widened(kwargs)
        elif name != "view":  # which reads the same bits as another kind
            args = tuple(_widened_dtype(value) for value in args)
            kwargs = {key: _widened_dtype(value) for key, value in kwargs.items()}
        return func(*args, **kwargs)


class Leaky(TorchFunctionMode):
    """Let rectifiers leak: a symmetry of the weights is one for every elementwise map, and no unit is switched off."""

    slope = 0.25

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch call, with a leaky rectifier in place of a plain one."""
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name not in ("relu", "relu_"):
            return func(*args, **kwargs)
        inplace = name == "relu_" or bool(args[1] if len(args) > 1 else kwargs.get("inplace", False))
        value = args[0] if args else kwargs["input"]
        return torch.nn.functional.leaky_relu(value, self.slope, inplace=inplace)


class Undropped(TorchFunctionMode):
    """Turn off the dropout that a forward asks for itself; modules of it are in evaluation mode already."""

    def __init__(self) -> None:
        super().__init__()
        self._specs: dict[Any, Spec] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch call; calls made of others are opened, for the dropout in them."""
        kwargs = kwargs or {}
        try:
            spec = self._specs.get(func)
        except TypeError:  # unhashable callables
            return func(*args, **kwargs)
        if spec is None:
            spec = self._specs[func] = spec_of(func)
        if spec.opened is not None and spec.name in _DROPPING:
            with self:
                return spec.opened(*args, **kwargs)
        args, kwargs = without_dropout(spec, args, kwargs)
        return func(*args, **kwargs)


def _is_mixed(args: Any, kwargs: Any) -> bool:
    kinds = {tensor.dtype for tensor in flat_tensors((*args, *kwargs.values()))}
    return not kinds.isdisjoint((torch.float64, torch.complex128)) and not kinds.isdisjoint(_WIDER)


def _widened_dtype(value: Any) -> Any:
    return _WIDER.get(value, value) if isinstance(value, torch.dtype) else value
