"""Carry a Plan out: draw every parameter once, calibrate in one pass, verify in another, or put everything back."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined] # torch exports it, its stubs do not

from stepzero import schemes
from stepzero.core.errors import ConfigError, IncompleteError
from stepzero.core.plan import Entry, Plan, Scaling
from stepzero.probe import tree
from stepzero.repair import calibrate
from stepzero.repair.calibrate import Target
from stepzero.schemes.seeding import generator_for

TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""How far from its target a standard deviation may be in the verifying pass, relative."""


def draw(model: nn.Module, plan: Plan, sample: Tensor | None) -> None:
    """Fill everything that the Plan draws or sets; ``sample`` [N, ...] of the batch is where kinks are put."""
    tensors = named(model)
    with torch.no_grad():
        for entry in plan.entries:
            if entry.action == "drawn":
                _drawn(tensors[entry.name], entry, plan.seed)
            elif entry.action == "set" and entry.scheme == "rows":
                _slices(tensors[entry.name], entry)
            elif entry.action == "set" and entry.scheme != "kinks":
                _set(tensors[entry.name], entry)
        for entry in plan.entries:
            if entry.scheme == "kinks":
                _put_kinks(tensors, entry, plan.seed, sample)
    torch.clear_autocast_cache()  # an autocast around all of this holds casts of the old values


def calibrated(model: nn.Module, plan: Plan, run: Callable[[], Any], targets: Mapping[str, Target]) -> Plan:
    """One pass to find the factors, one to verify them; the Plan with both written in.

    Raises:
        IncompleteError: the verifying pass measured something else than was asked for; the caller's `Undo` puts
            every bit back.
    """
    if not targets:
        return plan
    found = calibrate.calibrate_(model, run, targets)
    weights = named(model)
    scalings = tuple(
        _verified(
            each,
            None if targets[name].share else found.seen.get(name),
            _tolerance(weights[name].dtype, found.dtypes[name]),
        )
        for name, each in found.scalings.items()
    )
    return replace(
        plan,
        scalings=plan.scalings + scalings,
        skipped=plan.skipped + tuple(found.skipped.items()),
        forwards=plan.forwards + found.forwards,
    )


def named(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return dict([*tree.parameters(model), *tree.buffers(model)])


class Undo:
    """Copies of all parameters and buffers, put back at the end unless `forget` was called."""

    def __init__(self, model: nn.Module) -> None:
        tensors = {id(tensor): tensor for tensor in named(model).values() if has_memory(tensor)}
        self._saved = [(tensor, tensor.detach().clone(), _writes(tensor)) for tensor in tensors.values()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for tensor, values, _count in self._saved:
                tensor.copy_(values)
        torch.clear_autocast_cache()
        counted = [(tensor, count) for tensor, _values, count in self._saved if count is not None]
        if counted:
            # The bits are what they were: a graph of the user's that holds a weight may still be differentiated.
            tensors, counts = zip(*counted, strict=True)
            torch._C._autograd._unsafe_set_version_counter(tensors, counts)  # noqa: SLF001 - torch has no public one

    def forget(self) -> None:
        """Keep what was written."""
        self._saved.clear()


def has_memory(tensor: Tensor) -> bool:
    """Neither on the meta device nor lazy."""
    return not tensor.is_meta and not isinstance(tensor, UninitializedTensorMixin)


def _writes(tensor: Tensor) -> int | None:
    """How often it has been written; None for inference tensors, which do not count."""
    return None if tensor.is_inference() else tensor._version


def _tolerance(weight: torch.dtype, output: torch.dtype) -> float:
    """That of the coarser of the two: autocast multiplies wide weights narrowly."""
    return max(TOLERANCE.get(dtype, 1e-2) for dtype in (weight, output))


def _verified(scaling: Scaling, seen: float | None, tolerance: float) -> Scaling:
    if seen is None:
        return scaling
    if not abs(seen - scaling.target) <= tolerance * scaling.target:
        raise IncompleteError(
            f"calibration: {scaling.name} was scaled to an output of standard deviation {scaling.target:.4g}, and the "
            f"verifying pass measured {seen:.4g}: the forward is not the same twice; all weights were put back"
        )
    return replace(scaling, after=seen)


def _drawn(tensor: Tensor, entry: Entry, seed: int) -> None:
    fill = schemes.get(entry.scheme)
    known = inspect.signature(fill).parameters
    given = {"fan_in": entry.fan_in, "fan_out": entry.fan_out, "gain": entry.gain, "std": entry.std}
    wanted: dict[str, Any] = {key: value for key, value in given.items() if key in known and value is not None}
    size = tensor.shape[0] // entry.blocks
    for block in range(entry.blocks):
        part = tensor[block * size : (block + 1) * size] if entry.blocks > 1 else tensor
        try:
            fill(part, generator=generator_for(seed, entry.seed_key, block), **wanted)
        except ValueError as error:
            raise ConfigError(f"scheme {entry.scheme!r} cannot fill {entry.name}: {error}") from error
    _slices(tensor, entry)


def _set(tensor: Tensor, entry: Entry) -> None:
    tensor.fill_(entry.value or 0.0)
    _slices(tensor, entry)


def _slices(tensor: Tensor, entry: Entry) -> None:
    for start, stop, value in entry.values:
        tensor[start:stop] = value


def _put_kinks(tensors: Mapping[str, Tensor], entry: Entry, seed: int, sample: Tensor | None) -> None:
    """``b_i = -w_i . x_j`` with x_j a random sample: unit i has its kink there (initialisation notes, section 5)."""
    bias = tensors[entry.name]
    weight = tensors.get(entry.name.removesuffix("bias") + "weight")
    bias.zero_()
    if sample is None or weight is None or weight.dim() != 2 or sample.shape[-1] != weight.shape[1]:
        return
    rows = sample.reshape(-1, sample.shape[-1])
    chosen = torch.randint(len(rows), (len(bias),), generator=generator_for(seed, entry.seed_key))
    bias.copy_(-(weight * rows[chosen.to(rows.device)].to(weight)).sum(1))
