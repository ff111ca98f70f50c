"""Random streams that a model owns: their draws belong to the user, and a check must not use them up."""

import random
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch

Restore = Callable[[], object]


def kept_streams(attributes: Iterable[Any]) -> list[Restore]:
    """For every generator among the attributes of a model's modules a call that puts its state back."""
    numpy = sys.modules.get("numpy.random")
    kinds: dict[type, Callable[[Any], Restore]] = {
        torch.Generator: lambda stream: partial(stream.set_state, stream.get_state()),
        random.Random: lambda stream: partial(stream.setstate, stream.getstate()),
    }
    if numpy is not None:
        kinds[numpy.RandomState] = lambda stream: partial(stream.set_state, stream.get_state())
        kinds[numpy.Generator] = _bit_generator
    return [kinds[type(value)](value) for value in attributes if type(value) in kinds]


def _bit_generator(stream: Any) -> Restore:
    source, state = stream.bit_generator, stream.bit_generator.state
    return partial(setattr, source, "state", state)
