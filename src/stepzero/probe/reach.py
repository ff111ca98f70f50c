"""Which parameters a pass left alone could another call reach? Told from the code of the modules, which is not run.

A part that some method names, when ``forward`` or a public method of the model can come to that method, waits for
another batch: a modality, a cache, a task. A part that only the constructor names was forgotten.
"""

import inspect
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

from torch import nn

from stepzero.measure.modules import highest

_START = "forward"
_NO_USE = ("_", "init", "reset", "set_")
Methods = dict[str, list[frozenset[str]]]
"""Method -> the names that each definition of it uses."""


def optional(model: nn.Module, unread: list[str], everyone: Iterable[str]) -> set[str]:
    """Those of the ``unread`` parameters that code within reach of ``forward`` names, or whose whole module it does."""
    if not unread:
        return set()
    groups = highest(unread, everyone)
    methods = {kind: _methods(kind) for kind in {type(module) for module in model.modules()}}
    reached = _reached(methods.values(), {_START, *_public(type(model))})
    return {
        name
        for path, names in groups.items()
        if path and _is_named(model, path, methods, reached)
        for name in names
    }  # fmt: skip


def _is_named(model: nn.Module, path: str, methods: dict[type, Methods], reached: set[str]) -> bool:
    """Whether a method within reach, of the class that owns what is at ``path``, uses its name."""
    parent, _, name = path.rpartition(".")
    try:
        owner = model.get_submodule(parent)
    except AttributeError:
        return False
    if isinstance(owner, nn.ModuleDict | nn.ParameterDict):  # chosen by a key
        return bool(parent) and _is_named(model, parent, methods, reached)
    own = methods.get(type(owner), {})
    return any(name in names for method in own.keys() & reached for names in own[method])


def _public(kind: type[nn.Module]) -> set[str]:
    """What the model's own class offers to its user; to draw weights anew is no use of them."""
    return {name for name, member in vars(kind).items() if any(_codes(member)) and not name.startswith(_NO_USE)}


def _reached(kinds: Iterable[Methods], start: set[str]) -> set[str]:
    """Names of methods that those of ``start`` come to, whoever's they are."""
    everything: Methods = {}
    for methods in kinds:
        for method, names in methods.items():
            everything.setdefault(method, []).extend(names)
    reached, queue = set(start), sorted(start)
    for method in queue:
        new = {name for names in everything.get(method, ()) for name in names} & everything.keys() - reached
        reached |= new
        queue.extend(new)
    return reached


def _methods(kind: type[nn.Module]) -> Methods:
    """Methods of ``kind`` and of what it inherits from, up to torch's own classes; constructors are none."""
    found: Methods = {}
    for base in kind.__mro__:
        if base.__module__.startswith("torch.nn."):
            continue
        for name, member in vars(base).items():
            if not name.startswith("__"):
                found.setdefault(name, []).extend(frozenset(_names(code)) for code in _codes(member))
    return {name: codes for name, codes in found.items() if codes}


def _codes(member: Any) -> Iterator[CodeType]:
    """Code of a function, a static or class method, or a property, behind its decorators."""
    inner = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
    code = getattr(inspect.unwrap(inner), "__code__", None) if callable(inner) else None
    if isinstance(code, CodeType):
        yield code


def _names(code: CodeType) -> Iterator[str]:
    """Attributes, globals and short texts (``getattr(self, "name")``) that ``code`` and functions inside it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            yield constant
