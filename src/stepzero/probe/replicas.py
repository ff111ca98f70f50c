"""The replica probe: do all ranks of a data-parallel run start from the same bits?

Each rank hashes its parameters and leaves the hashes in the store through which the ranks once met; no collective is
entered, so that a rank that checks alone waits for a while and goes on, where a collective would hang for ever.
"""

import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from stepzero.core.replicas import ReplicasFact
from stepzero.core.trace import Trace
from stepzero.probe import tree
from stepzero.probe.facts import state_of
from stepzero.probe.subject import Subject

WAIT = 60.0
"""Seconds that a rank waits for the others."""
_CHUNK = 1 << 22
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_MULTIPLIER, _STEP = 0x9E3779B1, 0x85EBCA77
_rounds = itertools.count()


def replicas(subject: Subject, _: Trace) -> ReplicasFact:
    """Compare the hashes of all ranks; never raises because another rank is missing."""
    dist = torch.distributed
    if not subject.is_replicated or not dist.is_available() or not dist.is_initialized() or dist.get_world_size() < 2:
        return ReplicasFact(ran=False)
    mine = hashes(subject.model, subject.not_replicated)
    found = _exchanged(mine, dist.get_rank(), dist.get_world_size())
    if found is None:
        return ReplicasFact(ran=False, reason=f"another rank did not come to this check within {WAIT:g} s")
    names = list(dict.fromkeys(name for each in found for name in each))
    return ReplicasFact(
        ran=True,
        ranks=len(found),
        compared=len(names),
        diverged=tuple(name for name in names if len({json.dumps(each[name]) for each in found if name in each}) > 1),
        lonely=tuple(name for name in names if any(name not in each for each in found)),
    )


def hashes(model: nn.Module, left_out: frozenset[str] = frozenset()) -> dict[str, list[Any]]:
    """Dtype, shape and a hash of the bits of every parameter that is here in full."""
    return {
        name: [str(each.dtype), list(each.shape), hash_of(each)]
        for name, each in tree.once(tree.parameters(model))
        if name not in left_out and state_of(each) == "ready" and each.layout == torch.strided
    }


def hash_of(tensor: Tensor) -> int:
    """Sum of all words of the tensor, each times a number that depends on its place, modulo 2^64: exact everywhere."""
    flat = getattr(tensor, "_local_tensor", tensor).detach().contiguous().reshape(-1)
    flat = torch.view_as_real(flat).reshape(-1) if flat.is_complex() else flat
    words = flat.view(_WORDS[flat.element_size()])
    total = 0
    for start, chunk in _chunks(words):
        places = torch.arange(start, start + len(chunk), device=chunk.device)
        total += int((chunk.to(torch.int64) * (places * _STEP + _MULTIPLIER)).sum())
    return total % (1 << 64)


def _chunks(words: Tensor) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(words), _CHUNK):
        yield start, words[start : start + _CHUNK]


def _exchanged(mine: dict[str, list[Any]], rank: int, size: int) -> list[dict[str, list[Any]]] | None:
    """What every rank found; None where one does not come in time. Ranks meet at the same check of each process."""
    store = torch.distributed.distributed_c10d._get_default_store()  # noqa: SLF001 - there is no public way to it
    number = next(_rounds)
    keys = [f"stepzero/{number}/{each}" for each in range(size)]
    store.set(keys[rank], json.dumps(mine))
    try:
        store.wait(keys, timedelta(seconds=WAIT))
    except RuntimeError:  # a timeout, by whatever name a store gives it
        return None
    return [json.loads(store.get(key)) for key in keys]
