"""A model's modules, parameters and buffers by path, as torch lists them and several times as fast.

``Module.named_modules`` hands every module up through one generator a level; a capture asks for the modules many
times. A class that lists its own modules or parameters in another way is asked for them.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import Tensor, nn

Places = list[tuple[str, nn.Module]]
Members = list[tuple[str, Tensor]]
_COMMON = frozenset([bool, int, float, str, tuple, list, dict, set, OrderedDict, type(None)])
"""What most attributes are: told apart at once, where asking each of them for its class takes three times as long."""


class _Standing(threading.local):
    model: nn.Module | None = None
    places: Places = []  # noqa: RUF012 - replaced, never changed


_STANDING = _Standing()


@contextmanager
def standing(model: nn.Module) -> Iterator[None]:
    """Inside, the modules of ``model`` are as they are now: nothing runs that could exchange them."""
    found = places(model)
    _STANDING.model, _STANDING.places = model, found
    try:
        yield
    finally:
        _STANDING.model, _STANDING.places = None, []


def places(model: nn.Module) -> Places:
    """(path, module) of every place, in the order of ``named_modules``: a module at two places comes twice."""
    if model is _STANDING.model:
        return _STANDING.places
    found: Places = []
    _walk(model, "", found)
    return found


def _walk(module: nn.Module, path: str, found: Places) -> None:
    if type(module).named_modules is not nn.Module.named_modules:
        found.extend(module.named_modules(prefix=path, remove_duplicate=False))
        return
    found.append((path, module))
    for name, child in module._modules.items():
        if child is not None:
            _walk(child, f"{path}.{name}" if path else name, found)


def modules(model: nn.Module) -> Places:
    """(path, module) of every module, under its first path."""
    found: dict[int, tuple[str, nn.Module]] = {}
    for place in places(model):
        found.setdefault(id(place[1]), place)
    return list(found.values())


def parameters(model: nn.Module) -> Members:
    """(name, parameter) at every place: tied ones come several times."""
    if type(model).named_parameters is not nn.Module.named_parameters:
        return list(model.named_parameters(remove_duplicate=False))
    return _members(model, "_parameters")


def buffers(model: nn.Module) -> Members:
    """(name, buffer) at every place."""
    if type(model).named_buffers is not nn.Module.named_buffers:
        return list(model.named_buffers(remove_duplicate=False))
    return _members(model, "_buffers")


def once(members: Members) -> Members:
    """Every tensor under its first name only."""
    found: dict[int, tuple[str, Tensor]] = {}
    for member in members:
        found.setdefault(id(member[1]), member)
    return list(found.values())


def loose_tensors(module: nn.Module) -> list[Tensor]:
    """Tensors that are plain attributes of ``module``."""
    others = [value for value in module.__dict__.values() if type(value) not in _COMMON]
    return [value for value in others if isinstance(value, Tensor)]


def lasting(modules: Places) -> list[Tensor]:
    """What outlives a pass and is no parameter: buffers and plain tensor attributes."""
    loose = [tensor for _, module in modules for tensor in loose_tensors(module)]
    return loose + [buffer for _, module in modules for buffer in module._buffers.values() if buffer is not None]


def _members(model: nn.Module, kind: Literal["_parameters", "_buffers"]) -> Members:
    return [
        (f"{path}.{name}" if path else name, tensor)
        for path, module in places(model)
        for name, tensor in getattr(module, kind).items()
        if tensor is not None
    ]
