"""One forward pass that scales: every call that contracts data with a weight is seen, whoever makes it.

A weight that is due gets a factor from the moments of its product, and what follows sees the scaled output. Nothing is
written to a weight here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stepzero.core.plan import Scaling
from stepzero.probe.settings import without_dropout
from stepzero.probe.uses import argument, flat_tensors
from stepzero.probe.vocabulary import CONTRACTIONS, Spec, spec_of
from stepzero.repair.solve import Moments, along, factor, moments

_TAG = "_stepzero_scale"
_PLACES: dict[str, tuple[int, str, int, str, int]] = {
    "linear": (1, "weight", 2, "bias", -1),
    "bilinear": (2, "weight", 3, "bias", -1),
    "addmm": (2, "mat2", 0, "input", -1),
    "baddbmm": (2, "batch2", 0, "input", -1),
    "addbmm": (2, "batch2", 0, "input", -1),
    "addmv": (1, "mat", 0, "input", -1),
    "conv_tbc": (1, "weight", 2, "bias", -1),
    "convolution": (1, "weight", 2, "bias", 1),
    **{f"conv{kind}{n}d": (1, "weight", 2, "bias", -n - 1) for kind in ("", "_transpose") for n in (1, 2, 3)},
}
"""Where the weight and the bias stand in a call, their names there, and on which axis of the result channels are."""
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
    share: float = 0.0
    """For the last weight of a residual branch: its variance over that of the stream it joins."""
    is_most: bool = False
    """Whether a smaller output is left as it is."""


@dataclass
class Calibration:
    """What one pass found out, and what it takes to write it."""

    factors: dict[str, float] = field(default_factory=dict)
    scalings: dict[str, Scaling] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    """Standard deviation of the first output of each weight that was scaled, in a pass that verifies."""
    dtypes: dict[str, torch.dtype] = field(default_factory=dict)
    """Of the outputs that were scaled: under autocast coarser than the weight's."""
    forwards: int = 0


class Pass(TorchFunctionMode):
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
        if spec.name == "add" and kwargs.get("alpha", 1) != 0:
            args = self._joined(args, kwargs.get("alpha", 1), is_inplace=spec.is_inplace)
        result = func(*args, **kwargs)
        if spec.kind in _LINEAR and args and isinstance(args[0], Tensor) and isinstance(result, Tensor):
            self._passed_on(spec, args[0], result)
        return result

    def _weighted(self, spec: Spec, func: Any, args: Any, kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if spec.name not in CONTRACTIONS or not isinstance(result, Tensor):
            return result
        name, bias, axis = self._operands(spec.name, args, kwargs)
        if not result.is_floating_point():
            if name is not None and name in self._targets:
                self.found.skipped[name] = "its output is not real, and only real ones are calibrated"
            return result
        if name is None or not result.numel():
            return result
        if not self._targets and name not in self.stds:
            self.stds[name] = moments(result, None, axis).std
        target = self._targets.get(name)
        if target is None or name in self.found.skipped:
            return result
        if bias is not None and bias.dim() != 1:
            self.found.skipped[name] = "what is added to its product is no bias: it differs from row to row"
            return result
        if name in self.found.factors:
            return self._again(name, result, bias, axis)
        if target.share:
            setattr(result, _TAG, (name, bias is not None and bool(bias.any())))
            return result
        return self._alone(name, result, target, bias, axis)

    def _operands(self, name: str, args: Any, kwargs: Any) -> tuple[str | None, Tensor | None, int]:
        """The weight's name, what the call adds to the product, and the axis of the channels."""
        if (places := _PLACES.get(name)) is not None:
            weight_at, weight_name, bias_at, bias_name, axis = places
            bias = argument(args, kwargs, bias_at, bias_name)
            if bias is not None and (beta := kwargs.get("beta", 1)) != 1:
                bias = bias * beta
            return self._name(argument(args, kwargs, weight_at, weight_name)), bias, axis
        for operand in flat_tensors((*args, *kwargs.values())):
            if (found := self._name(operand)) is not None:
                return found, None, -1
        return None, None, -1

    def _name(self, tensor: Any) -> str | None:
        return self._names.get(id(tensor)) or getattr(tensor, _TAG + "_view", None)

    def _alone(self, name: str, result: Tensor, target: Target, bias: Tensor | None, axis: int) -> Tensor:
        """The first use of a weight whose output is brought to its target by itself."""
        seen = moments(result, bias, axis)
        if target.is_most and seen.std <= target.std:
            self.found.skipped[name] = f"its output has a standard deviation of {seen.std:.3g}, which is not too much"
            return result
        return self._first(name, result, seen, target.std, bias, axis)

    def _first(self, name: str, result: Tensor, seen: Moments, target: float, bias: Tensor | None, axis: int) -> Tensor:
        scale, why = factor(seen, target)
        if scale is None:
            self.found.skipped[name] = why
            return result
        note = "" if 1 / _FAR <= scale <= _FAR else "the factor is far from 1: the law it was drawn by did not fit"
        self.found.factors[name], self.found.dtypes[name] = scale, result.dtype
        self.found.scalings[name] = Scaling(name, scale, target, seen.std, why=note)
        return _scaled(result, scale, bias, axis)

    def _again(self, name: str, result: Tensor, bias: Tensor | None, axis: int) -> Tensor:
        """A weight that is used once more keeps the factor of its first use."""
        before = self.found.scalings[name]
        scaled = _scaled(result, before.factor, bias, axis)
        std = moments(scaled, None, -1).std
        ratio = std / before.target if before.target else 1.0
        why = before.why
        if not 1 / _REUSED <= ratio <= _REUSED:
            why = f"use {before.uses + 1} of it has a standard deviation {ratio:.3g} times that of the first"
        self.found.scalings[name] = replace(before, uses=before.uses + 1, why=why)
        return scaled

    def _joined(self, args: Any, alpha: float, *, is_inplace: bool) -> Any:
        """A residual addition: the branch is given its share of the stream's variance."""
        if len(args) < 2 or not (isinstance(args[0], Tensor) and isinstance(args[1], Tensor)):
            return args
        tags: list[Any] = [getattr(each, _TAG, None) for each in args[:2]]
        if (tags[0] is None) == (tags[1] is None):
            return args
        place, ratio = (0, alpha) if tags[0] is not None else (1, 1 / alpha)
        name, has_bias = tags[place]
        if has_bias:
            self.found.skipped[name] = "its bias is not zero, and the branch cannot be scaled without it"
            return args
        branch = args[place] if is_inplace and place == 0 else args[place].clone()
        if name in self.found.factors:
            scaled = branch.mul_(self.found.factors[name])
        else:
            share = abs(ratio) * self._targets[name].share ** 0.5
            target = moments(args[1 - place], None, -1).std * share
            scaled = self._first(name, branch, moments(branch, None, -1), target, None, -1)
        return (*args[:place], scaled, *args[place + 1 :])

    def _passed_on(self, spec: Spec, source: Tensor, result: Tensor) -> None:
        """Views of a weight are that weight; views of a branch's end still are its end."""
        if result is source:
            return
        if spec.kind == "view" and (name := self._name(source)) is not None:
            setattr(result, _TAG + "_view", name)
        tag = getattr(source, _TAG, None)
        if tag is not None and (spec.kind != "pool" or spec.name in _AVERAGES):
            setattr(result, _TAG, tag)


def _scaled(output: Tensor, scale: float, bias: Tensor | None, axis: int) -> Tensor:
    """``s u + b`` from ``o = u + b``, in the memory of ``o``: nobody else has seen it yet."""
    if bias is None:
        return output.mul_(scale)
    return output.lerp_(along(bias, axis, output.dim()).to(output.dtype), 1 - scale)
