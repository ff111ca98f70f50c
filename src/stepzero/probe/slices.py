"""A mode that keeps, of every result of a forward, one short print for each slice along an axis.

Two forwards of one model make the same calls in the same order, so that the first call of which an untouched slice
differs is where something leaks.
"""

import functools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stepzero.probe import tree
from stepzero.probe.uses import flat_tensors
from stepzero.probe.vocabulary import Spec, spec_of

_PRINTS = 2


class Print(NamedTuple):
    """One result, slice by slice."""

    name: str
    kind: str
    module: str
    values: Tensor
    """[slices, prints] float64."""
    sizes: Tensor
    """[slices]: norms."""


class Slices(TorchFunctionMode):
    """Prints of all results with ``size`` entries along ``axis``, or one other axis, in the order of the calls."""

    def __init__(self, model: nn.Module, axis: int, size: int) -> None:
        super().__init__()
        self.axis, self.size = axis, size
        self.prints: list[Print] = []
        self._paths = {id(module): path for path, module in tree.modules(model)}
        self._stack = [""]

    def enter_module(self, module: nn.Module, _: Any) -> None:
        """Global forward pre-hook."""
        self._stack.append(self._paths.get(id(module), self._stack[-1]))

    def leave_module(self, *_: Any) -> None:
        """Global forward hook."""
        if len(self._stack) > 1:
            self._stack.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the call and keep a print of each result."""
        spec, kwargs = spec_of(func), kwargs or {}
        if spec.opened is not None:
            with self:
                return spec.opened(*args, **kwargs)
        result = func(*args, **kwargs)
        if not spec.is_silent:
            with torch._C.DisableTorchFunction():
                self._keep(spec, result)
        return result

    def _keep(self, spec: Spec, result: Any) -> None:
        for tensor in flat_tensors([result]):
            axis = self._axis_of(tensor)
            if axis is not None and tensor.is_floating_point() and tensor.layout == torch.strided and tensor.numel():
                values, sizes = prints(tensor.detach(), axis)
                self.prints.append(Print(spec.name, spec.kind, self._stack[-1], values, sizes))

    def _axis_of(self, tensor: Tensor) -> int | None:
        """The axis itself, or the only other one that is as long: convolutions have positions last."""
        alike = [place for place, length in enumerate(tensor.shape) if length == self.size]
        return self.axis if self.axis in alike else alike[0] if len(alike) == 1 else None


def prints(tensor: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """[slices, prints] projections on fixed random numbers, and [slices] norms, both float64."""
    rows = tensor.movedim(axis, 0).reshape(tensor.shape[axis], -1).to(torch.float64)
    return rows @ _projection(rows.shape[1]).to(rows.device), rows.norm(dim=1)


@functools.lru_cache(maxsize=32)
def _projection(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, _PRINTS, generator=generator, dtype=torch.float64)


def changed(one: Tensor, other: Tensor, axis: int) -> Tensor:
    """[slices] relative change of each slice; infinite where the shapes differ."""
    if one.shape != other.shape:
        return torch.full((one.shape[axis],), math.inf)
    rows = [each.movedim(axis, 0).reshape(each.shape[axis], -1).to(torch.float64) for each in (one, other)]
    size = rows[0].norm(dim=1).clamp_min(1e-300)
    found: Tensor = ((rows[0] - rows[1]).norm(dim=1) / size).nan_to_num(0.0).cpu()
    return found


def first_changed(one: Slices, other: Slices, untouched: Tensor, same: float) -> tuple[str, str, str]:
    """(name, kind, module) of the first result in which an untouched slice differs; empty when none was seen."""
    for first, second in zip(one.prints, other.prints, strict=False):
        if (first.name, first.module) != (second.name, second.module) or first.values.shape != second.values.shape:
            break
        gaps = (first.values - second.values).abs().amax(1).cpu()
        if bool((gaps > same * first.sizes.cpu().clamp_min(1e-300))[untouched].any()):
            return first.name, first.kind, first.module
    return "", "", ""
