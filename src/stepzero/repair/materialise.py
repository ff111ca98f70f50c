"""Give memory to what stands on the meta device, and know afterwards what nobody wrote."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from stepzero.probe import tree
from stepzero.probe.restore import preserved_randomness

_MARK = 0x55
"""Byte that integer memory is filled with; floating-point memory is filled with NaN."""


def materialise(model: nn.Module) -> tuple[tuple[str, ...], Callable[[], None]]:
    """Replace meta parameters and buffers by marked memory on the CPU and let their modules write them.

    Ties are kept. Modules write through ``reset_parameters`` or ``reset_running_stats``, as torch's own do, with the
    global random state put back after it.

    Returns:
        Names of what was given memory, empty for a model that had it all; and what puts the meta tensors back.
    """
    fresh: list[str] = []
    owners: dict[int, nn.Module] = {}
    replaced: dict[int, Tensor] = {}
    places: list[tuple[Any, str, Tensor]] = []
    for path, module in tree.modules(model):
        for members in (module._parameters, module._buffers):
            for name, tensor in members.items():
                if tensor is None or not tensor.is_meta:
                    continue
                if id(tensor) not in replaced:
                    replaced[id(tensor)] = _marked(tensor)
                places.append((members, name, tensor))
                members[name] = replaced[id(tensor)]  # type: ignore[assignment] # a Parameter replaces a Parameter
                fresh.append(f"{path}.{name}" if path else name)
                owners[id(module)] = module
    with preserved_randomness():
        for module in owners.values():
            for reset in _resets(module):
                reset()

    def put_back() -> None:
        for members, name, tensor in places:
            members[name] = tensor

    return tuple(fresh), put_back


def still_unwritten(model: nn.Module, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``names`` that still hold the mark they were filled with."""
    tensors = dict([*tree.parameters(model), *tree.buffers(model)])
    return tuple(name for name in names if name in tensors and _is_marked(tensors[name]))


def _resets(module: nn.Module) -> list[Callable[[], object]]:
    names = ("reset_parameters", "reset_running_stats", "_reset_parameters")
    return [method for name in names if callable(method := getattr(module, name, None))]


def _marked(tensor: Tensor) -> Tensor:
    memory = torch.empty_like(tensor, device="cpu")
    with torch.no_grad():
        if memory.is_floating_point() or memory.is_complex():
            memory.fill_(float("nan"))
        elif memory.numel():
            memory.reshape(-1).view(torch.uint8).fill_(_MARK)
    return nn.Parameter(memory, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else memory


def _is_marked(tensor: Tensor) -> bool:
    if tensor.is_floating_point() or tensor.is_complex():
        return bool(tensor.isnan().any())
    return tensor.numel() > 0 and bool((tensor.detach().reshape(-1).view(torch.uint8) == _MARK).all())
