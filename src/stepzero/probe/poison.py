"""Poison: build the model again in marked memory; what still carries the mark was never written.

Two builds with the same seed and two different markings. Floating-point memory is marked with NaN, then with a large
finite number; integers with their maximum, then minimum. A tensor is unwritten where the mark is still in it, and
suspect where the two builds differ (somebody computed from the mark). A third build with the first marking tells a
suspect from a factory that simply is not repeatable. Buffers filled lazily are forgiven after one forward.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from stepzero.core.provenance import PoisonFact, Unwritten
from stepzero.probe.build import parts
from stepzero.probe.facts import named_tensors, state_of
from stepzero.probe.restore import preserved_randomness, preserved_state, same_bits, seed_everything
from stepzero.probe.subject import Subject, copied_batch, unwrapped

_FRESH = frozenset(
    ["empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "empty_permuted"]
)


class Marking(TorchDispatchMode):
    """Fill every freshly allocated tensor with a mark; sees allocations made in C++ as well."""

    def __init__(self, *, first: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch states no type here
        self.first = first

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation; mark what it allocated."""
        name = func._overloadpacket.__name__
        held = _elements_held(args[0]) if name == "resize_" else 0
        result = func(*args, **(kwargs or {}))
        if name in _FRESH and isinstance(result, Tensor) and not result.is_meta:
            # What a tensor held before it grew is still there.
            fresh = result.as_strided((_elements_held(result),), (1,), 0)[held:] if held else result
            _fill(fresh, mark_of(result.dtype, first=self.first))
        return result


def _elements_held(tensor: Tensor) -> int:
    return 0 if tensor.is_meta else tensor.untyped_storage().nbytes() // tensor.element_size()


def mark_of(dtype: torch.dtype, *, first: bool) -> float | int | bool:
    """The mark for a dtype: NaN then a large number; the largest then the smallest integer; True then False."""
    if dtype == torch.bool:
        return first
    if dtype.is_floating_point or dtype.is_complex:
        return math.nan if first else 1.375e4
    return torch.iinfo(dtype).max if first else torch.iinfo(dtype).min


def _fill(tensor: Tensor, mark: float) -> None:
    try:
        tensor.fill_(mark)
    except (RuntimeError, NotImplementedError, TypeError):
        return  # quantised and sub-byte kinds cannot be filled; they stay as they are


def poison(subject: Subject) -> PoisonFact:
    """Build twice in marked memory and compare; needs the subject's factory."""
    if subject.factory is None:
        return PoisonFact(ran=False, reason="needs a factory: pass the function that builds the model, not the model")
    with preserved_randomness(), preserved_state():
        try:
            first, second = (_built(subject.factory, subject.seed, first=mark) for mark in (True, False))
        except Exception as error:  # noqa: BLE001 - it built without the marks: what the marks break is ours to tell
            why = " ".join(f"the factory raised {type(error).__name__} in marked memory: {error}".split())
            return PoisonFact(ran=False, reason=why)
        found, unrepeatable = _candidates(first, second), tuple[str, ...]()
        if found:
            again = _built(subject.factory, subject.seed, first=True)
            unrepeatable = tuple(name for name in found if not _repeats(name, first, again))
            found = {name: tensor for name, tensor in found.items() if name not in unrepeatable}
        unwritten = tuple(
            Unwritten(name, kind, tensor.numel(), count)
            for name, (kind, tensor) in found.items()
            if (count := _count_marked(tensor)) > 0 or kind == "parameter"
        )
        buffers = {row.name for row in unwritten if row.kind == "buffer"}
        if buffers:
            filled = _filled_by_forward(subject, first, second, buffers)
            unwritten = tuple(row for row in unwritten if row.name not in filled)
    return PoisonFact(ran=True, unwritten=unwritten, unrepeatable=unrepeatable)


def _built(factory: Callable[[], Any], seed: int, *, first: bool) -> nn.Module:
    with Marking(first=first):
        seed_everything(seed)
        model, _, _ = parts(factory())
    return unwrapped(model)


def _candidates(first: nn.Module, second: nn.Module) -> dict[str, tuple[str, Tensor]]:
    """Tensors that differ between the two markings, or hold a NaN in the first."""
    others = {name: tensor for name, _, tensor, _ in named_tensors(second)}
    found = {}
    for name, kind, tensor, _ in named_tensors(first):
        other = others.get(name)
        if other is None or {state_of(tensor), state_of(other)} - {"ready", "sharded"}:
            continue
        if tensor.shape != other.shape or tensor.numel() == 0:
            continue
        if not _same(tensor, other):
            found[name] = (kind, tensor)
    return found


def _same(a: Tensor, b: Tensor) -> bool:
    a, b = getattr(a, "_local_tensor", a).detach(), getattr(b, "_local_tensor", b).detach()
    if a.layout != torch.strided or a.is_quantized:
        return True
    return same_bits(a, b)


def _repeats(name: str, first: nn.Module, again: nn.Module) -> bool:
    one = {key: tensor for key, _, tensor, _ in named_tensors(first)}
    two = {key: tensor for key, _, tensor, _ in named_tensors(again)}
    return name in two and _same(one[name], two[name])


def _count_marked(tensor: Tensor) -> int:
    mark = mark_of(tensor.dtype, first=True)
    detached = tensor.detach()
    return int((detached != detached).sum() if isinstance(mark, float) else (detached == mark).sum())


def _filled_by_forward(subject: Subject, first: nn.Module, second: nn.Module, names: set[str]) -> set[str]:
    """Buffers that the first forward writes: caches, allowed to be empty until then.

    Written means that nothing of either mark is left: a counter that was only counted up still differs.
    """
    for model in (first, second):
        args, kwargs = copied_batch(subject)
        seed_everything(subject.seed)
        with torch.no_grad(), _forgiving():
            model(*args, **kwargs)
    after, other = dict(first.named_buffers()), dict(second.named_buffers())
    return {name for name in names if name not in after or (name in other and _is_written(after[name], other[name]))}


def _is_written(after: Tensor, other: Tensor) -> bool:
    return after.shape == other.shape and after.dtype == other.dtype and _same(after, other)


@contextmanager
def _forgiving() -> Iterator[None]:
    """The marked model may well fail: its memory is poisoned. That is no finding."""
    try:
        yield
    except Exception:  # noqa: BLE001 - any failure of a poisoned model means only that nothing was filled
        return
