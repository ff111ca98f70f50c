"""A recurrent call of several layers as one call a layer and direction, so that the units of each can be looked at.

Shapes: L layers, D directions, T moments, B samples, F features, H units.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

STACKED = frozenset(["lstm", "gru", "rnn_tanh", "rnn_relu"])
"""Functions that run several layers in one call."""
_LAYERS, _DROPOUT, _BOTH_WAYS, _BATCH_FIRST = 4, 5, 7, 8
"""Places of the arguments where the sequence is padded; without a batch axis torch adds one before."""

States = tuple[Tensor, ...]
"""``h`` and for an LSTM ``c``, [L x D, B, H] each."""


def is_stacked(name: str, args: tuple[Any, ...]) -> bool:
    """Whether this call runs several layers or directions on padded sequences."""
    is_padded = name in STACKED and len(args) > _BATCH_FIRST and isinstance(args[3], bool)  # else the weights
    return is_padded and (args[_LAYERS] > 1 or bool(args[_BOTH_WAYS]))


def by_layer(func: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """What ``func(*args)`` returns, worked out layer by layer; dropout between layers is off."""
    sequence, given, weights = args[0], args[1], args[2]
    axis = 1 if args[_BATCH_FIRST] else 0
    states: States = tuple(given) if isinstance(given, list | tuple) else (given,)
    ways = 2 if args[_BOTH_WAYS] else 1
    last: list[States] = []
    for layer, own in enumerate(_shares(list(weights), args[_LAYERS])):
        results = []
        for way, share in enumerate(_shares(own, ways)):
            start = tuple(state[layer * ways + way].unsqueeze(0) for state in states)
            result, end = _one(func, args, sequence.flip(axis) if way else sequence, start, share)
            results.append(result.flip(axis) if way else result)
            last.append(end)
        sequence = torch.cat(results, -1) if len(results) > 1 else results[0]
    return (sequence, *(torch.cat(each) for each in zip(*last, strict=True)))


def _one(
    func: Callable[..., Any], args: tuple[Any, ...], sequence: Tensor, start: States, weights: list[Tensor]
) -> tuple[Tensor, States]:
    """One layer in one direction: its results [B, T, H] or [T, B, H], and its last states."""
    changed = list(args)
    changed[0], changed[1], changed[2] = sequence, start if isinstance(args[1], list | tuple) else start[0], weights
    changed[_LAYERS], changed[_DROPOUT], changed[_BOTH_WAYS] = 1, 0.0, False
    result, *end = func(*changed)
    return result, tuple(end)


def _shares(weights: list[Tensor], count: int) -> Iterator[list[Tensor]]:
    """Equal consecutive shares: torch lists weights by layer, then by direction."""
    size = len(weights) // count
    return (weights[start : start + size] for start in range(0, len(weights), size))
