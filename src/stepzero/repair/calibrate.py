"""Calibration in one forward pass: every weight is scaled when it is met, and what follows sees the scaled output.

Execution order is right by construction, because the pass *is* the execution. The weights themselves are written
after the pass has ended well: until then a factor is only applied to outputs, so a crash leaves nothing behind.

Mishkin & Matas 2016 (LSUV) give the target, unit standard deviation of every layer's output; they take two forwards a
layer. Factors are solved for, with the bias (`solve`), so that no iteration is needed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stepzero.core.plan import Scaling
from stepzero.probe import tree
from stepzero.probe.capture import eager, set_modes
from stepzero.probe.restore import Guard, Snapshot
from stepzero.probe.settings import without_dropout
from stepzero.probe.uses import argument, flat_tensors
from stepzero.probe.vocabulary import CONTRACTIONS, Spec, spec_of
from stepzero.repair.solve import Moments, factor, moments

_TAG = "_stepzero_scale"
_PLACES = {"linear": (1, 2, -1), "addmm": (2, 0, -1), "baddbmm": (2, 0, -1)}
"""Where the weight and the bias stand in a call, and on which axis of the result its channels are."""
_LINEAR = frozenset(["view", "dropout", "pool"])
"""Kinds that pass a factor on unchanged. Of the pools only averages and sums do."""
_AVERAGES = frozenset("mean sum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d".split())
_FAR = 4.0
"""A factor beyond this says that a law was wrong."""
_REUSED = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """What the output of one weight should look like."""

    std: float = 1.0
    joins: int = 0
    """For the last weight of a residual branch: over how many branches one stream's variance is shared."""


@dataclass
class Calibration:
    """What one pass found out, and what it takes to write it."""

    factors: dict[str, float] = field(default_factory=dict)
    scalings: dict[str, Scaling] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    forwards: int = 0


def calibrate(model: nn.Module, run: Callable[[], Any], targets: Mapping[str, Target]) -> Calibration:
    """One forward pass under the model's own modes, dropout off; no weight is written.

    Args:
        model: holds the weights; left as it was, buffers and modes included.
        run: calls the model on the batch.
        targets: by parameter name; weights without a target pass through unscaled.

    Returns:
        Factors by parameter name, and why a target could not be reached.
    """
    names = {id(parameter): name for name, parameter in tree.once(tree.parameters(model))}
    watcher = _Pass(names, targets)
    with _quietly(model), watcher:
        run()
    found = watcher.found
    found.forwards = 1
    for name in targets:
        if name not in found.factors and name not in found.skipped:
            found.skipped[name] = "no weighted operation of this pass read it, or its branch met no addition"
    return found


def measure(model: nn.Module, run: Callable[[], Any], names: set[str]) -> dict[str, float]:
    """Standard deviation of the first output of each weight: the verifying pass, which scales nothing."""
    ids = {id(parameter): name for name, parameter in tree.once(tree.parameters(model)) if name in names}
    watcher = _Pass(ids, {})
    with _quietly(model), watcher:
        run()
    return watcher.stds


@contextmanager
def write(model: nn.Module, factors: Mapping[str, float]) -> Iterator[None]:
    """Multiply the weights; when the body raises, every bit of them is put back."""
    parameters = dict(tree.once(tree.parameters(model)))
    saved = {name: parameters[name].detach().clone() for name, each in factors.items() if each != 1.0}
    with torch.no_grad():
        for name in saved:
            parameters[name].mul_(factors[name])
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for name, values in saved.items():
                parameters[name].copy_(values)
        raise


@contextmanager
def _quietly(model: nn.Module) -> Iterator[None]:
    """No gradients, no dropout, nothing left behind."""
    guard = Guard()
    snapshot = Snapshot(model, guard)
    set_modes(model)
    try:
        with torch.no_grad(), eager():
            yield
    finally:
        snapshot.restore()


class _Pass(TorchFunctionMode):
    """Sees every torch call of the forward; acts on those that contract data with a weight."""

    def __init__(self, names: dict[int, str], targets: Mapping[str, Target]) -> None:
        super().__init__()
        self.found = Calibration()
        self.stds: dict[str, float] = {}
        self._names, self._targets = names, targets
        self._specs: dict[Any, Spec] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one call, and scale its result where a weight is due."""
        kwargs = kwargs or {}
        try:
            spec = self._specs.get(func)
        except TypeError:  # unhashable callables
            return func(*args, **kwargs)
        if spec is None:
            spec = self._specs[func] = spec_of(func)
        if spec.is_silent:
            return func(*args, **kwargs)
        if spec.opened is not None:
            with self:
                return spec.opened(*args, **kwargs)
        if spec.kind == "weighted":
            return self._weighted(spec, func, args, kwargs)
        if spec.kind in ("dropout", "attention"):
            args, kwargs = without_dropout(spec, args, kwargs)
        if spec.kind == "add" and spec.name == "add":
            args = self._joined(args)
        result = func(*args, **kwargs)
        if spec.kind in _LINEAR and args and isinstance(args[0], Tensor) and isinstance(result, Tensor):
            self._passed_on(spec, args[0], result)
        return result

    def _weighted(self, spec: Spec, func: Any, args: Any, kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if spec.name not in CONTRACTIONS or not isinstance(result, Tensor) or not result.is_floating_point():
            return result
        name, bias, axis = self._operands(spec.name, args, kwargs)
        if name is None or not result.numel():
            return result
        target = self._targets.get(name)
        if target is None or name in self.found.skipped:
            if name not in self.stds and not self._targets:
                self.stds[name] = moments(result, None, axis).std
            return result
        if name in self.found.factors:
            return self._again(name, result, bias)
        if target.joins:
            setattr(result, _TAG, (name, bias))
            return result
        return self._first(name, result, moments(result, bias, axis), target.std, bias, axis)

    def _operands(self, name: str, args: Any, kwargs: Any) -> tuple[str | None, Tensor | None, int]:
        """The weight's name, its bias unless that is zero, and the axis of the channels."""
        if name in _PLACES or name.startswith("conv"):
            at, bias_at, axis = _PLACES.get(name, (1, 2, 1))
            weight = argument(args, kwargs, at, "mat2" if name == "addmm" else "weight")
            bias = argument(args, kwargs, bias_at, "input" if name == "addmm" else "bias")
            found = self._name(weight)
            is_felt = found is not None and isinstance(bias, Tensor) and bool(bias.any())
            return found, bias if is_felt else None, axis
        for operand in flat_tensors((*args, *kwargs.values())):
            if (found := self._name(operand)) is not None:
                return found, None, -1
        return None, None, -1

    def _name(self, tensor: Any) -> str | None:
        return self._names.get(id(tensor)) or getattr(tensor, _TAG + "_view", None)

    def _first(self, name: str, result: Tensor, seen: Moments, target: float, bias: Tensor | None, axis: int) -> Tensor:
        scale, why = factor(seen, target)
        if scale is None:
            self.found.skipped[name] = why
            return result
        note = "" if 1 / _FAR <= scale <= _FAR else "the factor is far from 1: the law it was drawn by did not fit"
        self.found.factors[name] = scale
        self.found.scalings[name] = Scaling(name, scale, target, seen.std, why=note)
        return _scaled(result, scale, bias, axis)

    def _again(self, name: str, result: Tensor, bias: Tensor | None) -> Tensor:
        """A weight that is used once more keeps the factor of its first use."""
        before = self.found.scalings[name]
        scaled = _scaled(result, before.factor, bias, -1 if bias is None else _axis(result, bias))
        std = moments(scaled, None, -1).std
        ratio = std / before.target if before.target else 1.0
        why = before.why
        if not 1 / _REUSED <= ratio <= _REUSED:
            why = f"use {before.uses + 1} of it has a standard deviation {ratio:.3g} times that of the first"
        self.found.scalings[name] = replace(before, uses=before.uses + 1, why=why)
        return scaled

    def _joined(self, args: Any) -> Any:
        """A residual addition: the branch is given its share of the stream's variance."""
        for place, other in ((0, 1), (1, 0)):
            branch: Any = args[place] if len(args) > 1 else None
            tag = getattr(branch, _TAG, None)
            if tag is None or not isinstance(args[other], Tensor) or getattr(args[other], _TAG, None) is not None:
                continue
            name, bias = tag
            if bias is not None:
                self.found.skipped[name] = "its bias is not zero, and the branch cannot be scaled without it"
                continue
            stream = moments(args[other], None, -1).std
            target = stream / self._targets[name].joins ** 0.5
            seen = moments(branch, None, -1)
            if name in self.found.factors:
                scaled = branch * self.found.factors[name]
            else:
                scaled = self._first(name, branch.clone(), seen, target, None, -1)
            return (*args[:place], scaled, *args[place + 1 :])
        return args

    def _passed_on(self, spec: Spec, source: Tensor, result: Tensor) -> None:
        """Views of a weight are that weight; views of a branch's end still are its end."""
        if result is source:
            return
        if spec.kind == "view" and (name := self._name(source)) is not None:
            setattr(result, _TAG + "_view", name)
        tag = getattr(source, _TAG, None)
        if tag is not None and (spec.kind != "pool" or spec.name in _AVERAGES):
            setattr(result, _TAG, tag)


def _axis(result: Tensor, bias: Tensor) -> int:
    return -1 if result.shape[-1] == bias.numel() else 1


def _scaled(output: Tensor, scale: float, bias: Tensor | None, axis: int) -> Tensor:
    """``s u + b`` from ``o = u + b``, in the memory of ``o``: nobody else has seen it yet."""
    output.mul_(scale)
    if bias is not None:
        shape = [1] * output.dim()
        shape[axis] = -1
        output.add_((bias * (1 - scale)).reshape(shape))
    return output
