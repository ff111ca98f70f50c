"""An independent judge of 'the model is untouched': it knows nothing of stepzero and trusts nothing it says.

`take` copies every bit that a check could change; `Snapshot.differences` compares with the state as it is now and
returns one line for each thing that differs. Equality is of bits (NaN payloads and negative zeros included), identities
(the same parameter object in the same place, the same storage) and order (hook dictionaries).
"""

import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils import _pytree as pytree

Facts: TypeAlias = dict[str, Any]
"""Name of a thing -> what it was: bytes are compared by `torch.equal`, everything else by ``==``."""

PATCHABLE = {
    "torch": torch,
    "Tensor": Tensor,
    "functional": nn.functional,
    "Module": nn.Module,
    "autograd": torch.autograd,
}
"""Namespaces whose functions a careless observer replaces and forgets."""

HOOKS = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called")
SIMPLE = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


class Identity:
    """Equal only to another Identity of the very same object; keeps it alive, so that no address is used twice."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __repr__(self) -> str:
        return f"{type(self.thing).__name__} at {id(self.thing):#x}"


@dataclass(frozen=True)
class Snapshot:
    """The state of a model, its batch and the process at one moment."""

    facts: Facts

    def differences(self, model: nn.Module, batch: Any) -> list[str]:
        """Compare with the state as it is now; an empty list means that nothing changed."""
        now = dict(_everything(model, batch))
        lines = [f"{name}: gone" for name in self.facts.keys() - now.keys()]
        lines += [f"{name}: new" for name in now.keys() - self.facts.keys()]
        for name in self.facts.keys() & now.keys():
            if not _same(self.facts[name], now[name]):
                lines.append(f"{name}: {_short(self.facts[name])} became {_short(now[name])}")
        return sorted(lines)


def take(model: nn.Module, batch: Any) -> Snapshot:
    """Copy everything that must be the same afterwards."""
    return Snapshot(dict(_everything(model, batch)))


def _everything(model: nn.Module, batch: Any) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    for path, module in model.named_modules():
        if id(module) not in seen:
            seen.add(id(module))
            yield from _module(path or "(root)", module)
    for index, leaf in enumerate(pytree.tree_leaves(batch)):
        if isinstance(leaf, Tensor):
            yield from _tensor(f"batch[{index}]", leaf)
    yield from _process()
    yield from _patches()


def _module(path: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Class, flags, tensors with their gradients, hooks in order, and every plain attribute."""
    yield f"{path} class", type(module)
    yield f"{path} attributes", tuple(module.__dict__)
    yield f"{path} children", tuple((name, Identity(child)) for name, child in module._modules.items())
    for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
        yield f"{path} {kind}s", tuple(tensors)
        for name, tensor in tensors.items():
            if tensor is not None:
                yield from _tensor(f"{path} {kind} {name}", tensor)
    for name, value in module.__dict__.items():
        if isinstance(value, dict) and name.endswith(HOOKS):
            yield f"{path} {name}", tuple((key, Identity(hook)) for key, hook in value.items())
        elif name not in ("_parameters", "_buffers", "_modules"):
            yield from _attribute(f"{path} .{name}", value, depth=3)


def _attribute(name: str, value: Any, *, depth: int) -> Iterator[tuple[str, Any]]:
    """A plain value by content, a tensor by its bits, a container by its members, any other object by identity."""
    if isinstance(value, Tensor):
        yield from _tensor(name, value)
    elif isinstance(value, SIMPLE):
        yield name, repr(value)
    elif isinstance(value, dict) and depth:
        yield f"{name} keys", tuple(map(repr, value))
        for key, item in value.items():
            yield from _attribute(f"{name}[{key!r}]", item, depth=depth - 1)
    elif isinstance(value, list | tuple) and depth:
        yield f"{name} length", len(value)
        for index, item in enumerate(value):
            yield from _attribute(f"{name}[{index}]", item, depth=depth - 1)
    elif not callable(value):  # bound methods are made anew on each access, so their identity says nothing
        yield f"{name} object", Identity(value)


def _tensor(name: str, tensor: Tensor) -> Iterator[tuple[str, Any]]:
    """Identity, layout, flags, bits and gradient of one tensor."""
    yield f"{name} object", Identity(tensor)
    if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
        return
    yield f"{name} layout", (tensor.shape, tensor.dtype, tensor.device, tensor.layout, type(tensor))
    yield f"{name} requires_grad", tensor.requires_grad
    yield f"{name} python attributes", tuple(vars(tensor))  # they would travel with every copy and every pickle
    yield f"{name} hooks", (_keys(tensor._backward_hooks), _keys(getattr(tensor, "_post_accumulate_grad_hooks", None)))
    if tensor.layout is torch.strided and tensor.device.type != "meta":
        yield f"{name} storage", (tensor.data_ptr(), tensor.stride())
    yield f"{name} bits", bits(tensor)
    if tensor.is_leaf:
        yield f"{name} grad object", Identity(tensor.grad) if tensor.grad is not None else None
        yield f"{name} grad bits", None if tensor.grad is None else bits(tensor.grad)


def bits(tensor: Tensor) -> Tensor | None:
    """A copy of the bytes of ``tensor``; None where there are none to read (meta)."""
    if tensor.device.type == "meta":
        return None
    dense = tensor.detach()
    if dense.layout is not torch.strided:
        dense = dense.coalesce() if dense.layout is torch.sparse_coo else dense
        dense = dense.to_dense()
    return dense.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).clone()


def _keys(hooks: Any) -> tuple[Any, ...]:
    return tuple((key, Identity(hook)) for key, hook in hooks.items()) if hooks else ()


def _process() -> Iterator[tuple[str, Any]]:
    """Random states, modes and global switches."""
    yield "rng torch", bits(torch.random.get_rng_state())
    yield "rng python", random.getstate()
    yield "rng numpy", numpy.random.get_state(legacy=False)["state"]["key"].tobytes()
    yield "rng numpy position", numpy.random.get_state(legacy=False)["state"]["pos"]
    if torch.cuda.is_available():
        yield "rng cuda", tuple(bytes(bits(state).numpy()) for state in torch.cuda.get_rng_state_all())
    yield "grad mode", (torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    for kind in ("cpu", "cuda"):
        yield f"autocast {kind}", (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
    yield "autocast cache", torch.is_autocast_cache_enabled()
    yield "deterministic", (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic)
    yield "default dtype", torch.get_default_dtype()
    yield "default device", torch.get_default_device()
    yield "threads", torch.get_num_threads()
    yield "anomaly mode", torch.is_anomaly_enabled()
    yield "multithreaded backward", torch.autograd.is_multithreading_enabled()
    yield "function modes", torch._C._len_torch_function_stack()
    yield "dispatch modes", torch._C._len_torch_dispatch_stack()
    yield "function overrides", torch._C._is_torch_function_enabled()
    yield "warning filters", len(warnings.filters)
    yield "flush denormal", bool(torch.tensor(1e-40) * 1 == 0)


def _patches() -> Iterator[tuple[str, Any]]:
    """Functions of torch by identity, and the hooks that fire for every module."""
    for label, namespace in PATCHABLE.items():
        functions = {name: value for name, value in vars(namespace).items() if callable(value)}
        yield f"{label} names", tuple((name, Identity(value)) for name, value in functions.items())
    for name, value in vars(torch_module).items():
        if name.startswith("_global_") and isinstance(value, dict):
            yield f"global {name}", tuple(map(Identity, value.values()))
    yield "saved tensor hooks", torch._C._autograd._top_saved_tensors_default_hooks(False) is None


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return before.shape == after.shape and torch.equal(before, after)
    return type(before) is type(after) and bool(before == after)


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.numel()} bytes"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
