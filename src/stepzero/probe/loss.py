"""From a model's output to one scalar: given, named, the model's own, inferred, or a surrogate, and said which."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stepzero.core.errors import LossError, did_you_mean
from stepzero.core.trace import LossFact
from stepzero.probe.uses import flat_tensors

NAMED: dict[str, Callable[..., Tensor]] = {
    "bce": F.binary_cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "cross_entropy": F.cross_entropy,
    "huber": F.huber_loss,
    "l1": F.l1_loss,
    "mae": F.l1_loss,
    "mse": F.mse_loss,
    "nll": F.nll_loss,
    "smooth_l1": F.smooth_l1_loss,
}
"""Names that ``loss=`` accepts."""


def loss_of(output: Any, loss: Any, target: Any, seed: int) -> tuple[Tensor, LossFact]:
    """The scalar to differentiate and how it came about; raises `LossError` in one line when there is none."""
    if isinstance(loss, str):
        value, fact = _named(output, loss, target)
    elif loss is not None:
        value, fact = _given(output, loss, target), LossFact("given", _name(loss), None)
    elif (own := own_loss(output)) is not None:
        value, fact = own, LossFact("model", "model's own .loss", None, "the model's own .loss output")
    elif target is not None:
        value, fact = _inferred(output, target)
    else:
        value, fact = _surrogate(output, seed)
    return _scalar(value, fact)


def main_output(output: Any) -> Tensor:
    """The float tensor a loss would read: ``.logits``, else the first float tensor of the output."""
    for key in ("logits", "prediction_logits", "last_hidden_state"):
        value = output.get(key) if isinstance(output, Mapping) else getattr(output, key, None)
        if isinstance(value, Tensor):
            return value
    for tensor in output_tensors(output):
        if tensor.is_floating_point() or tensor.is_complex():
            return tensor
    raise LossError(
        f"output: expected at least one floating-point tensor, got {describe(output)}; "
        "a loss needs a differentiable output"
    )


def output_tensors(output: Any) -> list[Tensor]:
    """Every tensor of an output: tensors, sequences, mappings, dataclasses, objects with attributes."""
    if dataclasses.is_dataclass(output) and not isinstance(output, Mapping | type):
        return list(flat_tensors(vars(output).values() if hasattr(output, "__dict__") else dataclasses.astuple(output)))
    found = list(flat_tensors([output]))
    return found or (list(flat_tensors(vars(output).values())) if hasattr(output, "__dict__") else [])


def own_loss(output: Any) -> Tensor | None:
    """The output's own ``loss`` when it is a tensor that can be differentiated."""
    value = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    return value if isinstance(value, Tensor) and value.is_floating_point() else None


def describe(value: Any) -> str:
    """Short words for a message: kind, dtype and shape."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype)[6:]} tensor of shape {tuple(value.shape)}"
    tensors = output_tensors(value) if value is not None else []
    inner = f" with {', '.join(describe(tensor) for tensor in tensors[:3])}" if tensors else ""
    return f"{type(value).__name__}{inner}"


def _named(output: Any, name: str, target: Any) -> tuple[Tensor, LossFact]:
    function = NAMED.get(name)
    if function is None:
        raise LossError(f"loss: no loss named {name!r}{did_you_mean(name, NAMED)}; known: {', '.join(NAMED)}")
    if target is None:
        raise LossError(
            f"loss {name!r}: expected a target, got none; pass target=, or a loss that takes the output alone"
        )
    value = main_output(output)
    return _apply(function, name, value, target), LossFact("named", name, None)


def _apply(function: Callable[..., Tensor], name: str, output: Tensor, target: Any) -> Tensor:
    """Classes last (sequences) become classes second, as cross_entropy wants them."""
    has_classes = name in ("cross_entropy", "nll") and isinstance(target, Tensor)
    if has_classes and output.dim() == target.dim() + 1 >= 3 and output.shape[:-1] == target.shape:
        return function(output.flatten(0, -2), target.flatten())
    return function(output, target)


def _given(output: Any, loss: Callable[..., Any], target: Any) -> Any:
    takes_target = _takes_two(loss)
    if takes_target and target is None:
        raise LossError(
            f"loss {_name(loss)}: expected (output, target), and no target was given; "
            "pass target=, or a loss of the output alone"
        )
    return loss(output, target) if takes_target else loss(output)


def _takes_two(loss: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(loss.forward if isinstance(loss, torch.nn.Module) else loss).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
    ]
    return len(needed) >= 2


def _inferred(output: Any, target: Any) -> tuple[Tensor, LossFact]:
    value = main_output(output)
    if not isinstance(target, Tensor):
        raise LossError(f"target: expected a tensor to infer a loss from, got {type(target).__name__}; pass loss=")
    name = _fitting(value, target)
    kind = f"{tuple(target.shape)} {str(target.dtype)[6:]}"
    note = f"{name} assumed from output {tuple(value.shape)} and target {kind}"
    target = target.to(value.dtype) if name != "cross_entropy" else target
    shaped = target.view(value.shape) if target.numel() == value.numel() and name != "cross_entropy" else target
    return _apply(NAMED[name], name, value, shaped), LossFact("inferred", name, None, note)


def _fitting(value: Tensor, target: Tensor) -> str:
    is_of_one_size = value.numel() == target.numel()  # [N, 1] against [N]: two classes, not one
    if not target.is_floating_point() and value.dim() == target.dim() + 1 and not is_of_one_size:
        return "cross_entropy"
    if is_of_one_size:
        is_binary = bool(((target == 0) | (target == 1)).all())
        return "bce_with_logits" if is_binary and target.unique().numel() == 2 else "mse"
    raise LossError(
        f"loss: cannot infer one from output {describe(value)} and target {describe(target)}; "
        "pass loss='cross_entropy', 'mse', ..."
    )


def _surrogate(output: Any, seed: int) -> tuple[Tensor, LossFact]:
    """Random cotangents: not a sum or a mean, whose gradient behind a normalisation is zero by algebra."""
    tensors = [tensor for tensor in output_tensors(output) if tensor.is_floating_point() and tensor.requires_grad]
    if not tensors:
        tensors = [main_output(output)]
    generator = torch.Generator().manual_seed(seed + 17)
    total: Any = 0.0
    for tensor in tensors:
        cotangent = torch.randn(tensor.shape, generator=generator, dtype=torch.float32).to(tensor.device)
        total = total + (tensor.float() * cotangent).sum() / math.sqrt(max(1, tensor.numel()))
    note = "none given; random cotangents at the output, so nothing is said about the loss itself"
    return total, LossFact("surrogate", "random cotangents", None, note)


def _scalar(value: Any, fact: LossFact) -> tuple[Tensor, LossFact]:
    if not isinstance(value, Tensor):
        raise LossError(
            f"loss {fact.name}: expected a scalar tensor, got {describe(value)}; return loss.mean() or similar"
        )
    if value.numel() != 1:
        if fact.origin == "model":
            return value.mean(), dataclasses.replace(fact, note=fact.note + " (its mean: it has one value a sample)")
        raise LossError(
            f"loss {fact.name}: expected a scalar, got {describe(value)}; reduce it, for example with .mean()"
        )
    if not value.is_floating_point():
        raise LossError(
            f"loss {fact.name}: expected a floating-point scalar, got {describe(value)}; "
            "a loss of whole numbers has no derivative"
        )
    return value.reshape(()), fact


def _name(loss: Any) -> str:
    return str(getattr(loss, "__name__", None) or type(loss).__name__)
