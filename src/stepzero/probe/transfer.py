"""The one transfer from the device: statistics are collected as tensors and read together at the end."""

import ctypes

import torch
from torch import Tensor

from stepzero.core.vector import Vector


class Ledger:
    """Tensors put in while measuring come back as numbers after `fetch`."""

    def __init__(self) -> None:
        self._pieces: dict[torch.device, list[Tensor]] = {}
        self._places: list[tuple[torch.device, int, int]] = []
        self._sizes: dict[torch.device, int] = {}
        self._flat: dict[torch.device, Tensor] = {}

    def put(self, tensor: Tensor) -> int:
        """Add a tensor of any shape and real dtype; returns its ticket."""
        flat = tensor.detach().reshape(-1)
        flat = flat if flat.dtype == torch.float64 else flat.to(_wide(flat))
        device, start = flat.device, self._sizes.get(flat.device, 0)
        self._pieces.setdefault(device, []).append(flat)
        self._places.append((device, start, flat.numel()))
        self._sizes[device] = start + flat.numel()
        return len(self._places) - 1

    def fetch(self) -> None:
        """Read everything that was put in, one transfer a device."""
        self._flat = {device: torch.cat(pieces).cpu().to(torch.float64) for device, pieces in self._pieces.items()}
        self._pieces.clear()

    def tensor(self, ticket: int) -> Tensor:
        """[n] float64 on the CPU."""
        device, start, size = self._places[ticket]
        return self._flat[device][start : start + size]

    def number(self, ticket: int) -> float:
        """The only number of a one-element tensor."""
        return float(self.tensor(ticket)[0])


def vector(tensor: Tensor) -> Vector:
    """Pack a contiguous CPU float64 tensor; goes through memory because numpy may be missing."""
    return Vector(ctypes.string_at(tensor.data_ptr(), tensor.numel() * 8)) if tensor.numel() else Vector()


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "mps" else torch.float64
