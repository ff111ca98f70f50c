"""The model is untouched: save whatever a forward or backward may change, and put it back also on exceptions.

Parameters are not copied up front (that would double the memory of a large model). Their storages are *guarded*:
the recorder asks `Guard.before_write` ahead of every in-place operation, and the storage is copied then, once.
Buffers are small and are written by kernels that announce nothing (batch norm), so they are copied at once.
"""

import gc
import operator
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stepzero.core.errors import IncompleteError
from stepzero.probe import tree
from stepzero.probe.streams import kept_streams

_INTEGER_OF_SIZE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_CONTAINERS = (dict, list, set)
_FIXED = frozenset([bool, int, float, str, tuple, type(None)])
"""What most attributes are: values that nobody can change from inside."""


class Guard:
    """Copies a protected storage the moment before somebody writes to it."""

    def __init__(self) -> None:
        self._protected: set[int] = set()
        self._saved: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def protect(self, tensors: Iterable[Tensor]) -> None:
        """Guard the storages of ``tensors``; meta and sparse tensors have none and are passed over."""
        self._protected.update(pointer for tensor in tensors if (pointer := storage_pointer(tensor)))

    def before_write(self, tensor: Tensor) -> None:
        """Save the storage of ``tensor`` if it is guarded and not saved yet."""
        pointer = storage_pointer(tensor)
        if pointer in self._protected and pointer not in self._saved:
            storage = tensor.untyped_storage()
            self._saved[pointer] = (storage, storage.clone())

    def is_saved(self, tensor: Tensor) -> bool:
        """Whether the storage of ``tensor`` has been written and can be put back."""
        return storage_pointer(tensor) in self._saved

    def restore(self) -> None:
        """Put every written storage back."""
        for storage, saved in self._saved.values():
            if storage.nbytes() != saved.nbytes():
                storage.resize_(saved.nbytes())
            storage.copy_(saved)
        self._saved.clear()


def storage_pointer(tensor: Tensor) -> int:
    """Address of the memory under ``tensor``; 0 when it has none (meta, sparse, empty, wrappers)."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError, ValueError):
        return 0


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Bitwise equality of two dense tensors of one shape and dtype (NaN equals itself, 0.0 differs from -0.0)."""
    if a.is_complex():
        a, b = torch.view_as_real(a.resolve_conj()), torch.view_as_real(b.resolve_conj())
    integer = _INTEGER_OF_SIZE.get(a.element_size())
    return torch.equal(a.view(integer), b.view(integer)) if integer else torch.equal(a, b)


@contextmanager
def preserved_randomness() -> Iterator[None]:
    """Restore the random state of every device, of `random` and of numpy (when somebody imported it)."""
    numpy = sys.modules.get("numpy.random")
    saved_python, saved_numpy = random.getstate(), numpy.get_state() if numpy else None
    saved_cpu = torch.get_rng_state()
    devices = [module for module in (torch.cuda, torch.xpu) if module.is_initialized()]
    saved_devices = [(module, module.get_rng_state_all()) for module in devices]
    saved_mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(saved_python)
        if numpy and saved_numpy is not None:
            numpy.set_state(saved_numpy)
        torch.set_rng_state(saved_cpu)
        for module, states in saved_devices:
            module.set_rng_state_all(states)
        if saved_mps is not None:
            torch.mps.set_rng_state(saved_mps)


def seed_everything(seed: int) -> None:
    """Seed `random`, numpy's global generator and those of torch; call only with randomness preserved.

    Not `torch.manual_seed`: on a machine whose devices are not in use yet that queues a seeding for later, which
    would change the user's draws after the check.
    """
    random.seed(seed)
    if numpy := sys.modules.get("numpy.random"):
        numpy.seed(seed % 2**32)  # numpy takes 32 bits
    torch.default_generator.manual_seed(seed)
    for module in (torch.cuda, torch.xpu):
        if module.is_initialized():
            module.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def without_collection() -> Iterator[None]:
    """Pause the cyclic garbage collector: it would walk all of torch several times within one pass."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def deeper_calls() -> Iterator[None]:
    """Double the recursion limit: global hooks put more Python frames on a module's call, and no model may feel it."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@contextmanager
def preserved_state() -> Iterator[None]:
    """Restore grad mode, autocast, determinism, default dtype and backend flags of this thread."""
    autocast = {
        device: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in ("cpu", "cuda")
    }
    cache, grad = torch.is_autocast_cache_enabled(), torch.is_grad_enabled()
    deterministic, warn_only = _determinism()
    cudnn = torch.backends.cudnn
    flags = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic)
    precision, dtype = torch.get_float32_matmul_precision(), torch.get_default_dtype()
    try:
        yield
    finally:
        for device, (enabled, kind) in autocast.items():
            torch.set_autocast_enabled(device, enabled)
            torch.set_autocast_dtype(device, kind)
        torch.set_autocast_cache_enabled(cache)
        torch.set_grad_enabled(grad)
        if (deterministic, warn_only) != _determinism():
            # Asked for only then: torch's own setter imports its compiler, 70 MB and more than a second.
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        if flags != (cudnn.enabled, cudnn.benchmark, cudnn.deterministic):
            cudnn.enabled, cudnn.benchmark, cudnn.deterministic = flags
        if precision != torch.get_float32_matmul_precision():
            torch.set_float32_matmul_precision(precision)
        torch.set_default_dtype(dtype)


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


class _Saved(NamedTuple):
    """One parameter object as it was."""

    name: str
    parameter: Tensor
    alias: Tensor | None
    requires_grad: bool
    grad: Tensor | None
    version: int


class _SavedBuffer(NamedTuple):
    """One buffer object as it was; ``bits`` is its memory, as ``alias`` is."""

    buffer: Tensor
    alias: Tensor
    bits: Tensor
    copy: Tensor
    version: int


class Snapshot:
    """Everything of one model that a forward or backward may change."""

    def __init__(self, model: nn.Module, guard: Guard) -> None:
        self.guard = guard
        modules = [module for _, module in tree.modules(model)]
        self._modules = [(module, dict(module.__dict__)) for module in modules]
        held = [value for _, members in self._modules for value in members.values() if type(value) not in _FIXED]
        containers = [value for value in held if isinstance(value, _CONTAINERS)]
        # Shallow copies; of an empty one, and most are, nothing needs to be kept.
        self._containers = [(each, each.copy() if each else ()) for each in containers]
        self._parameters = [
            _Saved(name, parameter, _alias(parameter), parameter.requires_grad, parameter.grad, _version(parameter))
            for name, parameter in tree.once(tree.parameters(model))
        ]
        self._buffers = [_saved_buffer(buffer) for _, buffer in tree.once(tree.buffers(model))]
        self._streams = kept_streams(held)
        guard.protect([saved.parameter for saved in self._parameters])
        guard.protect(value for value in held if isinstance(value, Tensor))
        for saved in self._parameters:
            # A backward() inside the user's forward would add to an existing .grad in place.
            if saved.grad is not None:
                saved.parameter.grad = None

    def restore(self) -> None:
        """Put everything back; raise `IncompleteError` when a parameter was written behind the guard's back."""
        for put_back in self._streams:
            put_back()
        for module, attributes in self._modules:
            _restore_attributes(module, attributes)
        for live, saved in self._containers:
            _restore_items(live, saved)
        with torch.no_grad():
            lost = [saved.name for saved in self._parameters if self._restore_parameter(saved)]
            self.guard.restore()
            for saved_buffer in self._buffers:
                if saved_buffer is not None:
                    _restore_buffer(saved_buffer)
        if lost:
            raise IncompleteError(
                f"the forward pass wrote to {', '.join(lost[:3])} through a kernel stepzero cannot see; "
                "the model was changed: rebuild it, or check a copy (copy.deepcopy(model))"
            )

    def renew(self) -> None:
        """Take the parameters' values as they are now for those to keep: they were written on purpose."""
        self._parameters = [saved._replace(version=_version(saved.parameter)) for saved in self._parameters]

    def _restore_parameter(self, saved: _Saved) -> bool:
        """Put one parameter object back; True when its values were written and no copy of them exists."""
        parameter, alias = saved.parameter, saved.alias
        is_rebound = alias is not None and storage_pointer(parameter) != storage_pointer(alias)
        if alias is not None and (is_rebound or parameter.shape != alias.shape):
            parameter.data = alias
        if parameter.requires_grad != saved.requires_grad:
            parameter.requires_grad_(saved.requires_grad)
        if parameter.grad is not saved.grad:
            parameter.grad = saved.grad
        return _version(parameter) != saved.version and not is_rebound and not self.guard.is_saved(parameter)


def _restore_attributes(module: nn.Module, attributes: dict[str, Any]) -> None:
    now = module.__dict__
    now.update(attributes)
    if len(now) > len(attributes):
        for key in [key for key in now if key not in attributes]:
            del now[key]


def _restore_items(live: Any, saved: Any) -> None:
    if (not live and not saved) or _same_items(live, saved):
        return
    live.clear()
    if saved:
        live.extend(saved) if isinstance(live, list) else live.update(saved)


def _same_items(live: Any, saved: Any) -> bool:
    if len(live) != len(saved):
        return False
    if not all(map(operator.is_, live, saved)):
        return False
    return not isinstance(live, dict) or all(map(operator.is_, live.values(), saved.values()))


def _alias(tensor: Tensor) -> Tensor | None:
    return tensor.detach() if storage_pointer(tensor) else None


def _version(tensor: Tensor) -> int:
    try:
        return tensor._version
    except RuntimeError:  # inference tensors do not track versions
        return 0


def _saved_buffer(buffer: Tensor) -> _SavedBuffer | None:
    """None for a buffer without memory, which holds nothing to put back."""
    if not storage_pointer(buffer):
        return None
    alias = buffer.detach()
    bits = _bits(alias)
    return _SavedBuffer(buffer, alias, bits, bits.clone(memory_format=torch.preserve_format), _version(buffer))


def _bits(tensor: Tensor) -> Tensor:
    """The same memory as integers, which are equal only when every bit is, where ``tensor`` may hold NaN."""
    integer = _INTEGER_OF_SIZE.get(tensor.element_size()) if tensor.is_floating_point() else None
    return tensor.view(integer) if integer and not tensor.is_neg() else tensor


def _restore_buffer(saved: _SavedBuffer) -> None:
    buffer, alias, bits, copy, version = saved
    if buffer.data_ptr() != alias.data_ptr() or buffer.shape != alias.shape:
        buffer.data = alias
    if not (torch.equal(bits, copy) if bits is not alias else same_bits(alias, copy)):
        bits.copy_(copy)
    if _version(buffer) != version and not buffer.is_inference():
        # The bits are what they were: a graph of the user's that holds this buffer may still be differentiated.
        torch._C._autograd._unsafe_set_version_counter((buffer,), (version,))  # noqa: SLF001 - torch has no public one
