"""The write record: which function of the factory wrote into which parameter, in which order, and what.

Writes are kept by the memory they land in, held weakly, so that a tensor that was drawn and thrown away is not taken
for the parameter that came to lie in the same place.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from stepzero.core.provenance import ParameterWrites, Write, WriteRecord, Written
from stepzero.probe.lines import shown

_TORCH = str(Path(torch.__file__).parent)
_INIT = str(Path(nn.init.__file__))
_PASSED = (_INIT, str(Path(_TORCH) / "utils"), str(Path(_TORCH) / "overrides.py"), str(Path(__file__).parent))
"""Files whose functions only carry out what others ask for."""
_DRAWS = frozenset(
    "normal_ uniform_ exponential_ log_normal_ cauchy_ bernoulli_ geometric_ random_ orthogonal_ sparse_".split()
)
_COPIES = frozenset(["copy_", "__setitem__"])
_LOADERS = frozenset(["_load_from_state_dict", "load"])
_MOST = 1 << 16
"""Writes kept at most: a factory that trains its model makes many."""


@dataclass(slots=True)
class _Memory:
    storage: Any
    writes: list[tuple[str, Write]] = field(default_factory=list)
    """With the initialiser of `nn.init` that the write belongs to, '' for none."""


@dataclass
class Journal:
    """Writes by the memory they landed in."""

    _memories: dict[int, _Memory] = field(default_factory=dict)
    _count: int = 0

    def note(self, tensor: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType) -> None:
        """Keep one in-place call ``tensor.name(*args, **kwargs)`` made in ``frame``."""
        key = _key(tensor)
        if key is None or not tensor.is_floating_point() or self._count >= _MOST:
            return
        self._count += 1
        memory = self._memories.get(key)
        if memory is None:
            memory = self._memories[key] = _Memory(StorageWeakRef(tensor.untyped_storage()))
        initialiser, writer = _origin(frame, key)
        kind = self._kind(name, initialiser, args, kwargs, writer.f_code.co_name)
        is_whole = tensor.numel() * tensor.element_size() >= tensor.untyped_storage().nbytes()
        if name == "__setitem__":
            is_whole = is_whole and (args[0] is ... or args[0] == slice(None)) if args else False
        file = writer.f_code.co_filename
        write = Write(
            kind,
            writer.f_code.co_qualname,
            f"{shown(file)}:{writer.f_lineno}",
            is_whole=is_whole,
            is_torch=file.startswith(_TORCH),
        )
        last, before = memory.writes[-1] if memory.writes else ("", write)
        if not (initialiser and last == initialiser and before.source_line == write.source_line):
            memory.writes.append((initialiser, write))  # one initialiser writes several times

    def _kind(self, name: str, initialiser: str, args: tuple[Any, ...], kwargs: dict[str, Any], by: str) -> Written:
        if name in _DRAWS or initialiser in _DRAWS:
            return "draw"
        if name == "zero_":
            return "zeros"
        if name == "fill_":
            return _filled(args[0] if args else kwargs.get("value"))
        if name not in _COPIES:
            return "change"
        source = args[-1] if args else kwargs.get("src")
        if not isinstance(source, Tensor):
            return _filled(source)
        if by in _LOADERS:
            return "loaded"
        other = self._memories.get(_key(source) or 0)
        return other.writes[-1][1].kind if other is not None and other.writes else "values"

    def record(self, model: nn.Module) -> WriteRecord:
        """The writes into this model's parameters, by name."""
        found = []
        for name, parameter in model.named_parameters():
            memory = self._memories.get(_key(parameter) or 0)
            if memory is not None and memory.writes and not memory.storage.expired():
                found.append(ParameterWrites(name, tuple(write for _, write in memory.writes)))
        return WriteRecord(ran=True, parameters=tuple(found))


def _key(tensor: Any) -> int | None:
    """Address of the storage object, which outlives its memory while it is held weakly; None when it has none."""
    if type(tensor) not in (Tensor, nn.Parameter):
        return None
    try:
        storage = tensor.untyped_storage()
        return int(storage._cdata) if storage.nbytes() else None  # noqa: SLF001 - what StorageWeakRef is made of
    except (RuntimeError, NotImplementedError, ValueError):
        return None


def _filled(value: Any) -> Written:
    if not isinstance(value, int | float) or math.isnan(value):
        return "values"
    return {0.0: "zeros", 1.0: "ones"}.get(float(value), "constant")  # type: ignore[return-value]  # of Written


def _origin(frame: FrameType, key: int) -> tuple[str, FrameType]:
    """(outermost function of `nn.init` on the way, innermost frame that is no mere helper)."""
    initialiser = ""
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if file == _INIT:
            initialiser = frame.f_code.co_name
        elif not file.startswith(_PASSED) and not _is_handed(frame, key):
            break
        frame = frame.f_back
    return initialiser, frame


def _is_handed(frame: FrameType, key: int) -> bool:
    """Whether the function was called with the tensor itself: it initialises whatever it is given."""
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return any(_key(frame.f_locals.get(name)) == key for name in names)
