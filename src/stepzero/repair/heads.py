"""The bias of a head from the targets of a batch: the best constant guess, never from what the model predicts."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stepzero.core.plan import Entry
from stepzero.core.trace import Trace

_PER_CLASS = 5
"""Targets needed for each class, or the prior of a batch is mostly noise."""

Values = tuple[tuple[int, int, float], ...]


def with_prior(planned: Sequence[Entry], trace: Trace, target: object) -> tuple[Entry, ...]:
    """Replace the entry of the head's bias, where loss and target say what the best constant guess is.

    Cross entropy: log prior of the smoothed counts. Binary cross entropy: its logit. Squared error: the mean.
    """
    name = _head_bias(trace)
    if name is None or not isinstance(target, Tensor) or not target.numel():
        return tuple(planned)
    found = _constant_guess(_loss_name(trace), target.detach(), _size(trace, name))
    if found is None:
        return tuple(planned)
    why, values = found
    return tuple(
        Entry(entry.name, "set", "bias", why, source="1708.02002", value=0.0, values=values, aliases=entry.aliases)
        if entry.name == name and entry.action == "set"
        else entry
        for entry in planned
    )


def _head_bias(trace: Trace) -> str | None:
    heads = [operation for operation in trace.operations if operation.role == "head"]
    names = [use.parameter for operation in heads for use in operation.uses if use.slot == "bias"]
    return names[0] if len(heads) == 1 and len(names) == 1 else None


def _loss_name(trace: Trace) -> str:
    return next((operation.name for operation in reversed(trace.operations) if operation.kind == "loss"), "")


def _size(trace: Trace, name: str) -> int:
    return next((fact.numel for fact in trace.parameters if fact.name == name), 0)


def _constant_guess(loss: str, target: Tensor, size: int) -> tuple[str, Values] | None:
    if loss in ("cross_entropy", "nll_loss") and not target.is_floating_point():
        labels = target.reshape(-1)
        labels = labels[(labels >= 0) & (labels < size)]
        if len(labels) < _PER_CLASS * size:
            return None
        counts = torch.bincount(labels.cpu(), minlength=size).double() + 1
        logs = (counts / counts.sum()).log()
        return "log prior of the classes in the batch", _slices(logs - logs.mean())
    rows = target.reshape(-1, size).double() if size and target.numel() % size == 0 else None
    if rows is None or len(rows) < _PER_CLASS or not bool(torch.isfinite(rows).all()):
        return None
    if loss == "binary_cross_entropy_with_logits":
        share = (rows.sum(0) + 1) / (len(rows) + 2)
        return "logit of the share of positives in the batch", _slices((share / (1 - share)).log())
    if loss in ("mse_loss", "smooth_l1_loss", "huber_loss"):
        return "mean of the targets", _slices(rows.mean(0))
    return None


def _slices(values: Tensor) -> Values:
    return tuple(
        (index, index + 1, value) for index, value in enumerate(values.tolist()) if value and math.isfinite(value)
    )
