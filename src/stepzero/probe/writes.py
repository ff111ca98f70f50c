"""Writes without effect: what the factory wrote into tensors that the next forward computes anew.

A parametrised weight (weight norm and its relatives) is the result of a computation on raw tensors. Writing into that
result is lost at the next use. While the factory runs, every such result is noted and kept alive, so that its address
is its own, and every in-place write that lands on one is noted. A write into the raw tensors, and one whose result is
assigned back, have an effect and are not told.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from stepzero.core.provenance import LostWrite
from stepzero.probe.journal import Journal
from stepzero.probe.restore import storage_pointer

_WRITES = (
    "normal_ uniform_ fill_ zero_ copy_ exponential_ log_normal_ cauchy_ bernoulli_ geometric_ random_ mul_ add_ sub_ "
    "div_ clamp_ erfinv_ log_ exp_ neg_ pow_ __setitem__"
).split()
"""What initialisers are made of; `nn.init` ends in these."""
_HOOKED = "torch.nn.utils.weight_norm"
"""Where the older weight norm lives, which recomputes a plain attribute in a hook; its function hides the module."""
_MOST = 4096
"""Results kept at most: a factory that runs its model computes some in every step."""


@dataclass(slots=True)
class _Result:
    tensor: Tensor
    owner: object
    holder: nn.Module | None
    name: str
    writes: int = 0


@dataclass
class Watch:
    """Results of parametrisations that the factory saw, by the address of their memory."""

    _results: dict[int, _Result] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)

    def note_result(self, tensor: Any, owner: object, holder: nn.Module | None, name: str) -> None:
        """Keep a result computed from raw tensors."""
        if isinstance(tensor, Tensor) and len(self._results) < _MOST and (pointer := storage_pointer(tensor)):
            self._results[pointer] = _Result(tensor, owner, holder, name)

    def note_write(self, tensor: Any) -> None:
        """Count a write, when it lands on a result."""
        if self._results and isinstance(tensor, Tensor):
            result = self._results.get(storage_pointer(tensor))
            if result is not None:
                result.writes += 1

    def note_assignment(self, tensor: Any) -> None:
        """A result that is assigned back reaches the raw tensors after all."""
        if isinstance(tensor, Tensor):
            self._results.pop(storage_pointer(tensor), None)

    def lost(self, model: nn.Module) -> tuple[LostWrite, ...]:
        """Writes that landed on results of this model's parametrisations and nowhere in its own tensors."""
        own = {storage_pointer(tensor) for tensor in (*model.parameters(), *model.buffers())}
        paths = {id(module): path for path, module in model.named_modules()}
        counts: dict[tuple[str, tuple[str, ...]], int] = {}
        for pointer, result in self._results.items():
            place = _place(result, paths) if result.writes and pointer not in own else None
            if place is not None:
                counts[place] = counts.get(place, 0) + result.writes
        return tuple(LostWrite(name, raw, count) for (name, raw), count in counts.items())


def _place(result: _Result, paths: dict[int, str]) -> tuple[str, tuple[str, ...]] | None:
    """(name of the weight, names of its raw tensors); None when the parametrisation is no part of the model."""
    if result.holder is not None:  # the older weight norm
        if (path := paths.get(id(result.holder))) is None or not hasattr(result.holder, f"{result.name}_v"):
            return None
        full = f"{path}.{result.name}" if path else result.name
        return full, (f"{full}_g", f"{full}_v")
    path = paths.get(id(result.owner))
    if path is None or not isinstance(result.owner, nn.Module):
        return None
    raw = tuple(f"{path}.{name}" for name, _ in result.owner.named_parameters(recurse=False))
    if not raw:
        return None
    return path.replace("parametrizations.", "", 1), raw


@contextmanager
def watched_writes() -> Iterator[Watch]:
    """Note results of parametrisations and writes into them, until the block ends."""
    watch = Watch()
    with ExitStack() as stack:
        for name in _WRITES:
            stack.enter_context(_patched(Tensor, name, functools.partial(_writing, name, watch)))
        listed: Any = parametrize.ParametrizationList
        stack.enter_context(_patched(listed, "forward", functools.partial(_computing, watch)))
        stack.enter_context(_patched(listed, "right_inverse", functools.partial(_assigning, watch)))
        hooked: Any = getattr(sys.modules.get(_HOOKED), "WeightNorm", None)
        if hooked is not None:
            stack.enter_context(_patched(hooked, "compute_weight", functools.partial(_computing, watch)))
        yield watch


@contextmanager
def _patched(owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Replace a method for a while; one that was inherited is inherited again afterwards."""
    is_own, original = name in vars(owner), getattr(owner, name)
    setattr(owner, name, wrap(original))
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)


def _writing(name: str, watch: Watch, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def write(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        watch.note_write(self)
        watch.journal.note(self, name, args, kwargs, sys._getframe(1))
        return original(self, *args, **kwargs)

    return write


def _computing(watch: Watch, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def compute(self: Any, *args: Any) -> Any:
        result = original(self, *args)
        holder = args[0] if args and isinstance(args[0], nn.Module) else None
        watch.note_result(result, self, holder, getattr(self, "name", ""))
        return result

    return compute


def _assigning(watch: Watch, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def assign(self: Any, value: Any) -> Any:
        watch.note_assignment(value)
        return original(self, value)

    return assign
