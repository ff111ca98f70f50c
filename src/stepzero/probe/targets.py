"""What a loss was told to aim at: labels that no class has, and the target's and the output's mean and spread."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stepzero.measure.sampling import wide
from stepzero.probe.nodes import Record
from stepzero.probe.uses import argument

_CLASSES = frozenset(["cross_entropy", "nll_loss"])
_NUMBERS = frozenset(
    ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"]
)
_SAMPLE = 4096
"""Numbers read for a mean and a spread, which a rule wants to a few per cent."""
Call = tuple[tuple[Any, ...], dict[str, Any]]


def within(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Tensor | None]:
    """The call with labels outside the classes ignored, and how many they are; None where no labels were passed.

    Such a label ends the run on a CPU and the whole process's use of a GPU; said as a number it ends neither.
    """
    logits, target = argument(args, kwargs, 0, "input"), argument(args, kwargs, 1, "target")
    if name not in _CLASSES or not isinstance(logits, Tensor) or type(target) is not Tensor or not logits.dim():
        return (args, kwargs), None
    if target.dtype != torch.int64:
        return (args, kwargs), None
    ignored, classes = int(argument(args, kwargs, 4, "ignore_index", -100)), logits.shape[min(1, logits.dim() - 1)]
    outside = ((target < 0) | (target >= classes)) & (target != ignored)
    target = target.masked_fill(outside, ignored)
    args, kwargs = (args[0], target, *args[2:]) if len(args) > 1 else args, dict(kwargs)
    if "target" in kwargs:
        kwargs["target"] = target
    return (args, kwargs), outside.sum()


def read(record: Record, args: tuple[Any, ...], kwargs: dict[str, Any], known: Sequence[tuple[Tensor, bool]]) -> None:
    """Range of the target, mean and spread of target and output, for losses that compare numbers.

    ``known`` says of operands whether they are results of the model: such a target (a teacher, a second view) is no
    data, and is not read.
    """
    output, target = argument(args, kwargs, 0, "input"), argument(args, kwargs, 1, "target")
    is_computed = any(is_result for operand, is_result in known if operand is target)
    if record.name not in _NUMBERS or not isinstance(output, Tensor) or type(target) is not Tensor or is_computed:
        return
    if not output.is_floating_point() or target.is_complex() or not target.numel() or target.shape != output.shape:
        return
    low, high = torch.aminmax(target.detach())
    record.scalars["target_low"], record.scalars["target_high"] = low.float(), high.float()
    for name, tensor in (("target", target), ("output", output)):
        sample = _sample(tensor.detach())
        record.scalars[f"{name}_mean"], record.scalars[f"{name}_std"] = sample.mean(), sample.std(correction=0)


def _sample(tensor: Tensor) -> Tensor:
    """At most `_SAMPLE` numbers, evenly spaced, never from the same columns alone."""
    columns, step = tensor.shape[-1] if tensor.dim() else 1, max(1, tensor.numel() // _SAMPLE)
    while math.gcd(step, columns) > 1 and step < columns:
        step += 1
    flat = tensor.reshape(-1)[::step][:_SAMPLE]
    return flat.to(wide(flat)) if flat.is_floating_point() else flat.float()
