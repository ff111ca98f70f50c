"""What a call was told: the settings that rules and roles need, and the numbers that only a loss knows."""

from typing import Any

from torch import Tensor

from stepzero.measure.sampling import plan_of, rows_of, wide
from stepzero.probe.nodes import Record
from stepzero.probe.uses import argument
from stepzero.probe.vocabulary import BOUNDED, Spec


def read(record: Record, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Settings that rules and roles need, as plain numbers."""
    if spec.name == "einsum" and args and isinstance(args[0], str):
        record.attributes["equation"] = args[0]
    elif spec.name.startswith("conv") and spec.name[-2:] in ("1d", "2d", "3d"):
        record.attributes["groups"] = int(argument(args, kwargs, 6, "groups", 1))
    elif spec.name == "embedding":
        padding = argument(args, kwargs, 2, "padding_idx")
        record.attributes["padding_idx"] = int(padding) if isinstance(padding, int) else None
    elif spec.kind == "softmax":
        dim = argument(args, kwargs, 1, "dim", -1)
        record.attributes["dim"] = dim if isinstance(dim, int) else -1
    elif spec.kind == "dropout":
        share = argument(args, kwargs, 1, "p", 0.5)
        record.attributes["p"] = float(share) if isinstance(share, int | float) else None
    elif spec.name in BOUNDED:
        record.attributes["bounded"] = True


def read_loss(record: Record, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Classes, targets and spread of the logits of a classification loss."""
    logits, target = argument(args, kwargs, 0, "input"), argument(args, kwargs, 1, "target")
    record.attributes["reduction"] = str(kwargs.get("reduction", "mean"))
    if not isinstance(logits, Tensor) or spec.name not in (
        "cross_entropy",
        "nll_loss",
        "binary_cross_entropy_with_logits",
    ):
        return
    if not logits.is_floating_point() or logits.numel() == 0:
        return
    axis = 1 if logits.dim() > 1 and spec.name != "binary_cross_entropy_with_logits" else logits.dim() - 1
    record.attributes["num_classes"] = logits.shape[axis] if logits.dim() else 1
    record.attributes["hard_targets"] = isinstance(target, Tensor) and not target.is_floating_point()
    record.attributes["is_weighted"] = argument(args, kwargs, 2, "weight") is not None
    record.attributes["smoothing"] = float(kwargs.get("label_smoothing", 0.0))
    plan = plan_of(tuple(logits.shape), axis)
    if plan is None:
        return
    sample = rows_of(logits, plan).to(wide(logits))
    if plan.units > 1:
        record.scalars["logit_std"] = sample.var(1, correction=0).mean().sqrt()
    if isinstance(target, Tensor) and not target.is_floating_point():
        ignore = argument(args, kwargs, 4, "ignore_index", -100)
        record.scalars["num_targets"] = (target != ignore).sum().to(sample.dtype)
