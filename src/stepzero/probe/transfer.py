"""The one transfer from the device: statistics are collected as tensors and read together at the end."""

import ctypes

import torch
from torch import Tensor

from stepzero.core.vector import Vector

Kind = tuple[torch.device, torch.dtype]


class Ledger:
    """Tensors put in while measuring come back as numbers after `fetch`."""

    def __init__(self) -> None:
        self._pieces: dict[Kind, list[Tensor]] = {}
        self._places: list[tuple[Kind, int, int]] = []
        self._sizes: dict[Kind, int] = {}
        self._flat: dict[Kind, Tensor] = {}

    def put(self, tensor: Tensor) -> int:
        """Add a tensor of any shape and real dtype; returns its ticket."""
        source = tensor.detach() if tensor.requires_grad else tensor
        flat = source.reshape(-1)
        kind, size = (flat.device, flat.dtype), flat.numel()
        start = self._sizes.get(kind, 0)
        self._pieces.setdefault(kind, []).append(flat)
        self._places.append((kind, start, size))
        self._sizes[kind] = start + size
        return len(self._places) - 1

    def fetch(self) -> None:
        """Read everything that was put in, one transfer a device and dtype."""
        self._flat = {kind: torch.cat(pieces).cpu().to(torch.float64) for kind, pieces in self._pieces.items()}
        self._pieces.clear()

    def tensor(self, ticket: int) -> Tensor:
        """[n] float64 on the CPU."""
        kind, start, size = self._places[ticket]
        return self._flat[kind][start : start + size]

    def number(self, ticket: int) -> float:
        """The only number of a one-element tensor."""
        return float(self.tensor(ticket)[0])


def vector(tensor: Tensor) -> Vector:
    """Pack a contiguous CPU float64 tensor; goes through memory because numpy may be missing."""
    return Vector(ctypes.string_at(tensor.data_ptr(), tensor.numel() * 8)) if tensor.numel() else Vector()
