"""The Subject: one live model, one batch, one loss, ready to be observed."""

import copy
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from stepzero.core.errors import BatchError, TargetError
from stepzero.core.provenance import NOT_WATCHED, LostWrite, WriteRecord
from stepzero.core.suppression import Comment
from stepzero.probe.restore import preserved_randomness
from stepzero.probe.uses import flat_tensors

Parts: TypeAlias = tuple[tuple[Any, ...], dict[str, Any], Any]
"""Positional arguments, keyword arguments, target."""


@dataclass(frozen=True)
class Batch:
    """Arguments of one forward call, when a tensor, tuple or dict cannot say it."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Subject:
    """What is observed. ``model`` is the module that runs (compiled and data-parallel wrappers taken off)."""

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    loss: Callable[..., Any] | str | None = None
    target: Any = None
    name: str = ""
    factory: Callable[[], Any] | None = None
    source_lines: dict[str, str] = field(default_factory=dict)
    comments: tuple[Comment, ...] = ()
    lost_writes: tuple[LostWrite, ...] = ()
    writes: WriteRecord = NOT_WATCHED
    is_stand_in: bool = False
    notes: list[str] = field(default_factory=list)
    seed: int = 0
    is_replicated: bool = False
    """Whether the model came in a wrapper that promises the same weights on every rank."""
    not_replicated: frozenset[str] = frozenset()
    """Parameters that the wrapper was told to leave alone."""
    made_by: Any = None
    """What the optimizer was told by: an instance, a class, a name or a function of the model."""
    reference: Any = None
    """State that was loaded into the model: names to tensors, or a checkpoint that holds one."""
    optimizer: Any = None
    """The user's, over the parameters of ``model``; its steps are only ever taken on a copy."""

    def named_inputs(self) -> list[tuple[str, Tensor]]:
        """Every tensor of the batch with the name of the argument it arrives in."""
        return [
            (name if index == 0 else f"{name}[{index}]", tensor)
            for name, value in self._arguments()
            for index, tensor in enumerate(flat_tensors([value]))
        ]

    def _arguments(self) -> list[tuple[str, Any]]:
        names = [name for name in self._forward_names if name not in self.kwargs]
        padded = [*names, *(f"args[{index}]" for index in range(len(names), len(self.args)))]
        return [*zip(padded, self.args, strict=False), *self.kwargs.items()]

    @functools.cached_property
    def _forward_names(self) -> list[str]:
        """Asked of ``forward`` once: a capture wants them six times, and a signature takes 0.1 ms."""
        return _parameters_of(self.model)


def unwrapped(model: nn.Module) -> nn.Module:
    """Take off torch.compile and (distributed) data-parallel wrappers: the original runs, eagerly."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in ("DataParallel", "DistributedDataParallel"):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def _replication(model: nn.Module, root: nn.Module) -> tuple[bool, frozenset[str]]:
    """Whether a distributed wrapper was taken off, and the names it leaves alone."""
    wrapper: Any = model
    while wrapper is not root:
        if type(wrapper).__name__ == "DistributedDataParallel":
            return True, frozenset(getattr(wrapper, "parameters_to_ignore", ()))
        wrapper = getattr(wrapper, "_orig_mod", None) or wrapper.module
    return False, frozenset()


def subject_of(
    model: nn.Module,
    batch: Any,
    loss: Any = None,
    target: Any = None,
    *,
    name: str = "",
    seed: int = 0,
    is_stand_in: bool = False,
) -> Subject:
    """Bring a model and any accepted form of batch into a Subject; raises `BatchError` with one clear line."""
    if not isinstance(model, nn.Module):
        raise TargetError(
            f"model: expected a torch.nn.Module, got {_kind(model)}; pass the module, or a factory that returns it"
        )
    if loss is not None and not callable(loss) and not isinstance(loss, str):
        raise TargetError(
            f"loss: expected a callable or a name such as 'cross_entropy', got {_kind(loss)}; "
            "pass a function of (output) or of (output, target)"
        )
    root = unwrapped(model)
    if isinstance(root, torch.jit.ScriptModule):
        raise TargetError(
            "model: expected Python modules, got TorchScript, whose operations cannot be observed; "
            "check the model before torch.jit.script or torch.jit.trace"
        )
    notes: list[str] = []
    args, kwargs, target = _read_batch(root, batch, target, notes)
    subject = Subject(root, args, kwargs, loss, target, name or type(root).__name__, seed=seed, is_stand_in=is_stand_in)
    subject.notes = notes
    subject.is_replicated, subject.not_replicated = _replication(model, root)
    _refuse_empty(subject)
    return subject


def _read_batch(model: nn.Module, batch: Any, target: Any, notes: list[str]) -> Parts:
    if batch is None:
        raise BatchError(
            "batch: expected a tensor, a tuple of positional arguments, a dict of keyword arguments or a loader, "
            "got none; pass one batch the model can run on"
        )
    if isinstance(batch, Batch):
        return tuple(batch.args), dict(batch.kwargs), target
    if isinstance(batch, Tensor):
        return (batch,), {}, target
    if isinstance(batch, Mapping):
        return (), dict(batch), target
    if isinstance(batch, tuple):
        return _without_target(model, batch, target, notes)
    if isinstance(batch, list) and any(isinstance(item, Tensor) for item in batch):
        return _without_target(model, tuple(batch), target, notes)
    if isinstance(batch, Iterable) and not isinstance(batch, str | bytes) and not hasattr(batch, "__array__"):
        return _from_loader(model, batch, target, notes)
    advice = "pass torch.as_tensor(batch)" if hasattr(batch, "__array__") else "wrap it as sz.Batch(args=(...,))"
    raise BatchError(f"batch: expected a tensor, tuple, dict, sz.Batch or loader, got {_kind(batch)}; {advice}")


def _from_loader(model: nn.Module, loader: Iterable[Any], target: Any, notes: list[str]) -> Parts:
    """One batch from a fresh iterator; generators of the loader and its samplers are put back as they were."""
    states = [(generator, generator.get_state()) for generator in _generators_of(loader)]
    with preserved_randomness():
        try:
            first = next(iter(loader))
        except StopIteration:
            raise BatchError(
                "batch: expected a loader with at least one batch, got an empty one; pass one that has data"
            ) from None
        finally:
            for generator, state in states:
                generator.set_state(state)
    notes.append("batch: the first of the loader")
    if not isinstance(first, Tensor | Mapping | tuple | list | Batch):
        raise BatchError(
            f"batch: expected the loader to give tensors, tuples or dicts, got {_kind(first)}; pass what forward takes"
        )
    return _read_batch(model, first, target, notes)


def _generators_of(loader: Any, depth: int = 3) -> list[torch.Generator]:
    """Generators that a loader, its samplers and its data set hold as attributes."""
    held = vars(loader) if hasattr(loader, "__dict__") else {}
    found = [value for value in held.values() if isinstance(value, torch.Generator)]
    for name in ("sampler", "batch_sampler", "dataset") if depth else ():
        if held.get(name) is not None:
            found += _generators_of(held[name], depth - 1)
    return found


def _without_target(model: nn.Module, batch: tuple[Any, ...], target: Any, notes: list[str]) -> Parts:
    """(input, target) pairs as loaders give them: what forward cannot take is the target."""
    limit = _most_positional(model)
    if target is None and limit is not None and len(batch) == limit + 1:
        notes.append(f"target: the last of the batch's {len(batch)} items, because forward takes {limit}")
        return batch[:-1], {}, batch[-1]
    return batch, {}, target


def _most_positional(model: nn.Module) -> int | None:
    """How many positional arguments forward takes; None when any number."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters
    )


def _parameters_of(model: nn.Module) -> list[str]:
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]


def _refuse_empty(subject: Subject) -> None:
    tensors = subject.named_inputs()
    empty = [name for name, tensor in tensors if tensor.numel() == 0]
    if empty:
        shape = tuple(dict(tensors)[empty[0]].shape)
        raise BatchError(
            f"batch: expected at least one sample, got shape {shape} for {empty[0]!r}; pass a non-empty batch"
        )
    if not tensors:
        raise BatchError("batch: expected at least one tensor in it, got none; pass the inputs of forward")


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def copied_batch(subject: Subject) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A deep copy of the arguments, for passes that may run more than once."""
    return copy.deepcopy(subject.args), copy.deepcopy(subject.kwargs)
