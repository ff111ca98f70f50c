"""Run a model in float64 whatever it says about dtypes: casts to narrower kinds are ignored, mixed operands widened."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stepzero.probe.settings import attention_dropout, without_dropout
from stepzero.probe.uses import argument, flat_tensors
from stepzero.probe.vocabulary import DROPOUTS, spec_of

_WIDER = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
}
_ATTENTION = "multi_head_attention_forward"
_DROPPING = DROPOUTS | {"scaled_dot_product_attention", _ATTENTION}
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

    is_needed = False
    """Whether a call was seen that would have dropped."""
    has_group_norm = False
    """Whether such a norm was seen; see `stepzero.probe.replica.Replica._differentiated`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch call; attention that is made of others is opened, for the dropout in it."""
        kwargs, name = kwargs or {}, getattr(func, "__name__", "").rstrip("_")
        if name not in _DROPPING or not _drops(name, args, kwargs):
            self.has_group_norm = self.has_group_norm or name == "group_norm"
            return func(*args, **kwargs)
        self.is_needed, spec = True, spec_of(func)
        if spec.opened is not None:
            with self:
                return spec.opened(*args, **kwargs)
        args, kwargs = without_dropout(spec, args, kwargs)
        return func(*args, **kwargs)


def _drops(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether this call drops anything, by its share and its switch."""
    if name == "scaled_dot_product_attention":
        return attention_dropout(args, kwargs) > 0.0
    if name == _ATTENTION:
        return bool(argument(args, kwargs, 10, "dropout_p", 0.0)) and bool(kwargs.get("training", True))
    is_on = argument(args, kwargs, 2, "train" if "train" in kwargs else "training", default=True)
    return bool(is_on) and bool(argument(args, kwargs, 1, "p", 0.5))


def _is_mixed(args: Any, kwargs: Any) -> bool:
    kinds = {tensor.dtype for tensor in flat_tensors((*args, *kwargs.values()))}
    return not kinds.isdisjoint((torch.float64, torch.complex128)) and not kinds.isdisjoint(_WIDER)


def _widened_dtype(value: Any) -> Any:
    return _WIDER.get(value, value) if isinstance(value, torch.dtype) else value
