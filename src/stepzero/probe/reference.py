"""Compare a model with the state that was loaded into it, bit for bit after the same cast.

A loader reports its keys as loaded; what writes afterwards (a hook that initialises what it takes for missing, a tie,
a resize) reports nothing.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from stepzero.core.errors import ConfigError
from stepzero.core.reference import NO_REFERENCE, ReferenceFact, Replaced
from stepzero.probe import tree
from stepzero.probe.facts import state_of
from stepzero.probe.restore import storage_pointer
from stepzero.probe.subject import Subject

_INSIDE = ("state_dict", "model", "model_state_dict", "module")
"""Where a checkpoint keeps the state, if not at its top."""
_PREFIXES = ("", "module.", "_orig_mod.", "model.")
"""What wrappers put in front of every key."""


def compared(subject: Subject) -> ReferenceFact:
    """Compare every parameter and buffer that the reference names.

    Raises:
        ConfigError: the reference holds no tensors, or none of its keys names a parameter or buffer of the model.
    """
    if subject.reference is None:
        return NO_REFERENCE
    given = state_in(subject.reference)
    live = tree.once([*tree.parameters(subject.model), *tree.buffers(subject.model)])
    prefix = max(_PREFIXES, key=lambda prefix: sum(prefix + name in given for name, _ in live))
    pairs = [(name, tensor.detach(), given[prefix + name]) for name, tensor in live if prefix + name in given]
    if not pairs:
        raise ConfigError(
            f"reference: none of its {len(given)} keys (first: {next(iter(given))!r}) names a parameter or buffer of "
            "the model; expected its state_dict"
        )
    skipped = tuple((name, why) for name, mine, theirs in pairs if (why := _why_not(mine, theirs)))
    left_out = {name for name, _ in skipped}
    both = [(name, *_cut(mine, theirs)) for name, mine, theirs in pairs if name not in left_out]
    return ReferenceFact(ran=True, compared=len(both), replaced=tuple(_replaced(both)), skipped=skipped)


def state_in(reference: Any) -> dict[str, Tensor]:
    """The tensors of a state dict or a checkpoint around one; `ConfigError` where there are none."""
    for key in _INSIDE if isinstance(reference, Mapping) else ():
        if isinstance(reference.get(key), Mapping):
            reference = reference[key]
            break
    found = dict(reference) if isinstance(reference, Mapping) else {}
    tensors = {
        key: value.detach() for key, value in found.items() if isinstance(key, str) and isinstance(value, Tensor)
    }
    if not tensors:
        told = f"a dict of {len(found)} without tensors" if found else type(reference).__name__
        raise ConfigError(f"reference: expected a state dict, names to tensors, got {told}")
    return tensors


def _why_not(mine: Tensor, theirs: Tensor) -> str:
    """Words for what is no comparison of values."""
    if (state := state_of(mine)) != "ready" or mine.layout != torch.strided:
        return f"the model's is {state if state != 'ready' else 'sparse'}"
    if storage_pointer(theirs) == storage_pointer(mine) != 0:
        return "the reference is the model's own memory: pass a copy of what was loaded"
    if theirs.is_meta or theirs.is_quantized or theirs.layout != torch.strided:
        return "the reference's holds no plain numbers"
    if mine.is_floating_point() != theirs.is_floating_point() or mine.is_complex() != theirs.is_complex():
        return f"one is {theirs.dtype}, the other {mine.dtype}: stored in another form"
    if mine.dim() != theirs.dim() or (mine.dim() and mine.shape[1:] != theirs.shape[1:]):
        return f"the shapes differ: {tuple(theirs.shape)} there, {tuple(mine.shape)} here"
    return ""


def _cut(mine: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that both have, the reference's in the model's dtype: a resized table keeps its first rows."""
    if mine.dim() and mine.shape != theirs.shape:
        rows = min(len(mine), len(theirs))
        mine, theirs = mine[:rows], theirs[:rows]
    theirs = theirs.to(mine.device, mine.dtype)
    if mine.is_floating_point() and mine.element_size() == 1:  # numbers of eight bits cannot be compared as they are
        mine, theirs = mine.float(), theirs.float()
    return mine, theirs


def _replaced(pairs: Iterable[tuple[str, Tensor, Tensor]]) -> Iterable[Replaced]:
    for name, mine, theirs in pairs:
        is_other = (mine != theirs) & ~(mine.isnan() & theirs.isnan())
        if bool(is_other.any()):
            wide = torch.complex128 if mine.is_complex() else torch.float64
            gap, size = (_rms(each.cpu().to(wide)) for each in (mine.cpu().to(wide) - theirs.cpu().to(wide), theirs))
            yield Replaced(name, mine.numel(), int(is_other.sum()), gap / size if size else math.inf)


def _rms(tensor: Tensor) -> float:
    return float(tensor.abs().square().mean().sqrt())
