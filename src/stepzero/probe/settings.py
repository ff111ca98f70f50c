"""What a call was told: the settings that rules and roles need, and the numbers that only a loss knows."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stepzero.core.trace import Attribute
from stepzero.measure.sampling import plan_of, rows_of, wide
from stepzero.measure.sharpness import logits_of, spread_over_keys
from stepzero.probe.nodes import Record
from stepzero.probe.uses import argument
from stepzero.probe.vocabulary import BOUNDED, DROPOUTS, Spec

_SAMPLES, _KEYS = 8, 1024
"""Batch entries and keys whose logits are worked out again behind a fused attention."""
_SETTINGS: dict[str, tuple[tuple[str, int, str, float | str | None], ...]] = {
    "leaky_relu": (("negative_slope", 1, "negative_slope", 0.01),),
    "rrelu": (("lower", 1, "lower", 1 / 8), ("upper", 2, "upper", 1 / 3)),
    "elu": (("alpha", 1, "alpha", 1.0),),
    "celu": (("alpha", 1, "alpha", 1.0),),
    "gelu": (("approximate", 1, "approximate", "none"),),
    "softplus": (("beta", 1, "beta", 1.0), ("threshold", 2, "threshold", 20.0)),
    "hardshrink": (("lambd", 1, "lambd", 0.5),),
    "softshrink": (("lambd", 1, "lambd", 0.5),),
    "threshold": (("threshold", 1, "threshold", None), ("value", 2, "value", None)),
    "hardtanh": (("min", 1, "min_val", -1.0), ("max", 2, "max_val", 1.0)),
    "relu6": (("min", 9, "", 0.0), ("max", 9, "", 6.0)),
    **dict.fromkeys(["clamp", "clip"], (("min", 1, "min", None), ("max", 2, "max", None))),
    "clamp_min": (("min", 1, "min", None), ("max", 9, "", None)),
    "clamp_max": (("min", 9, "", None), ("max", 1, "max", None)),
}
"""Of an elementwise function: attribute, position and name of the argument, value when it is not given."""
_REDUCTIONS = ("none", "mean", "sum")
"""As the functions below torch.nn.functional count them."""
_REDUCTION_AT = {
    **dict.fromkeys(["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "kl_div"], 2),
    **dict.fromkeys(["multilabel_margin_loss"], 2),
    **dict.fromkeys(["cross_entropy", "nll_loss", "binary_cross_entropy", "hinge_embedding_loss"], 3),
    **dict.fromkeys(["binary_cross_entropy_with_logits", "cosine_embedding_loss", "margin_ranking_loss"], 4),
    **dict.fromkeys(["ctc_loss", "multi_margin_loss", "poisson_nll_loss"], 5),
    "triplet_margin_loss": 7,
}
"""Where they take it by position; torch.nn.functional passes it on by name, however it was called."""


def read(record: Record, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any], *, dropped: float = 0.0) -> None:
    """Settings that rules and roles need, as plain numbers; ``dropped``: the share that a fused attention was told."""
    if spec.name == "einsum" and args and isinstance(args[0], str):
        record.attributes["equation"] = args[0]
    elif spec.name.startswith("conv") and spec.name[-2:] in ("1d", "2d", "3d"):
        record.attributes["groups"] = int(argument(args, kwargs, 6, "groups", 1))
    elif spec.name == "embedding":
        padding = argument(args, kwargs, 2, "padding_idx")
        record.attributes["padding_idx"] = int(padding) if isinstance(padding, int) else None
        _read_padding_row(record, padding, argument(args, kwargs, 1, "weight"))
    elif spec.kind == "softmax":
        dim = argument(args, kwargs, 1, "dim", -1)
        record.attributes["dim"] = dim if isinstance(dim, int) else -1
    elif spec.name == "scaled_dot_product_attention":
        scale = kwargs.get("scale", args[6] if len(args) > 6 else None)
        record.attributes["scale"] = float(scale) if isinstance(scale, int | float) else None
        record.attributes["p"] = dropped
    elif spec.kind == "dropout":
        share = argument(args, kwargs, 1, "p", 0.5)
        record.attributes["p"] = float(share) if isinstance(share, int | float) else None
    elif spec.name in BOUNDED:
        record.attributes["bounded"] = True
    elif spec.name in _SETTINGS:
        for key, position, name, default in _SETTINGS[spec.name]:
            record.attributes[key] = _plain(argument(args, kwargs, position, name, default))


def _plain(value: Any) -> Attribute:
    """A number or a word; None for tensors, whose values are on the device."""
    return float(value) if isinstance(value, int | float) else value if isinstance(value, str) else None


def _reduction(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Mean, sum, none...; also from the two flags that came before the word."""
    average, reduce = kwargs.get("size_average"), kwargs.get("reduce")
    if average is not None or reduce is not None:
        return "none" if reduce is False else "sum" if average is False else "mean"
    value = argument(args, kwargs, _REDUCTION_AT.get(name, len(args)), "reduction", "mean")
    return _REDUCTIONS[value] if isinstance(value, int) else str(value)


def _read_padding_row(record: Record, padding: Any, table: Any) -> None:
    """Rms of the one row that the lookup keeps out of the gradient."""
    if isinstance(padding, int) and isinstance(table, Tensor) and type(table).__name__ != "DTensor":
        row = table.detach()[padding]
        record.scalars["padding_rms"] = row.to(wide(row)).square().mean().sqrt()


def read_sharpness(record: Record, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Spread of attention logits over the keys of a query; every softmax inside the model has one."""
    if spec.name == "scaled_dot_product_attention":
        _read_attention(record, *(argument(args, kwargs, place, name) for place, name in enumerate(("query", "key"))))
    elif spec.name == "softmax":
        dim = record.attributes["dim"]
        _read_rows(record, argument(args, kwargs, 0, "input"), dim if isinstance(dim, int) else -1)


def _read_rows(record: Record, logits: Any, dim: int) -> None:
    """From a sample of the logits themselves."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point() or logits.dim() < 3:
        return
    plan = plan_of(tuple(logits.shape), dim % logits.dim())
    if plan is None or plan.samples < 2:
        return
    _keep_spread(record, rows_of(logits, plan).view(plan.samples, plan.places, plan.units))


def _read_attention(record: Record, query: Any, key: Any) -> None:
    """The same where one call hides the logits: worked out again for a few queries. The call's own scale is read."""
    if not isinstance(query, Tensor) or not isinstance(key, Tensor) or query.is_nested or key.is_nested:
        return
    scale = record.attributes.get("scale")
    logits = logits_of(query, key, scale if isinstance(scale, float) else None, samples=_SAMPLES, most=_KEYS)
    if logits is not None:
        _keep_spread(record, logits)


def _keep_spread(record: Record, logits: Tensor) -> None:
    if (spread := spread_over_keys(logits)) is not None:
        record.scalars["row_std"], record.scalars["row_keys"] = spread


def without_dropout(
    spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Dropout off: noise would drown exact statements about the start."""
    if spec.name in DROPOUTS:
        if len(args) >= 3:
            return (args[0], args[1], False, *args[3:]), kwargs
        return args, {**kwargs, ("train" if "train" in kwargs else "training"): False}
    if spec.name == "scaled_dot_product_attention":
        if len(args) > 4:
            return (*args[:4], 0.0, *args[5:]), kwargs
        return args, {**kwargs, "dropout_p": 0.0}
    return args, kwargs


def attention_dropout(args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """Share of the attention weights that a fused call drops; ask before `without_dropout`."""
    share = argument(args, kwargs, 4, "dropout_p", 0.0)
    return float(share) if isinstance(share, int | float) else 0.0


def read_loss(record: Record, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Classes, targets and spread of the logits of a classification loss."""
    logits, target = argument(args, kwargs, 0, "input"), argument(args, kwargs, 1, "target")
    record.attributes["reduction"] = _reduction(spec.name, args, kwargs)
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
    record.attributes["smoothing"] = (
        float(argument(args, kwargs, 5, "label_smoothing", 0.0)) if spec.name == "cross_entropy" else 0.0
    )
    plan = plan_of(tuple(logits.shape), axis)
    if plan is None:
        return
    sample = rows_of(logits, plan).to(wide(logits))
    if plan.units > 1:
        record.scalars["logit_std"] = sample.var(1, correction=0).mean().sqrt()
        if spec.name != "binary_cross_entropy_with_logits":
            _read_winner(record, sample)
    if isinstance(target, Tensor) and not target.is_floating_point():
        ignore = argument(args, kwargs, 4, "ignore_index", -100)
        record.scalars["num_targets"] = (target != ignore).sum().to(sample.dtype)


def _read_winner(record: Record, logits_RK: Tensor) -> None:
    """Share of the samples that the commonest class wins, and how sure the samples are of their likeliest class."""
    record.scalars["confidence"] = logits_RK.softmax(1).amax(1).mean()
    if logits_RK.shape[0] > 1:
        winners = logits_RK.argmax(1)
        record.scalars["top_share"] = (winners[:, None] == winners).sum(1).max() / len(winners)


def elementwise(func: Any, spec: Spec, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    """The activation out of place: ``relu_`` and ``inplace=True`` become their plain forms."""
    plain = (
        getattr(torch.nn.functional, spec.name, None) or getattr(torch, spec.name, func) if spec.is_inplace else func
    )
    positional = tuple(False if isinstance(value, bool) else value for value in rest)
    return lambda z: plain(z, *positional, **kwargs)
