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
        self._numbers: dict[Kind, memoryview[float]] = {}

    def put(self, tensor: Tensor) -> int:
        """Add a tensor of any shape and real dtype; returns its ticket."""
        source = tensor.detach() if tensor.requires_grad else tensor
        flat = source if source.dim() == 1 else source.reshape(-1)
        kind, size = (flat.device, flat.dtype), flat.numel()
        start = self._sizes.get(kind, 0)
        self._pieces.setdefault(kind, []).append(flat)
        self._places.append((kind, start, size))
        self._sizes[kind] = start + size
        return len(self._places) - 1

    def fetch(self) -> None:
        """Read everything that was put in, one transfer a device and dtype."""
        self._flat = {kind: torch.cat(pieces).cpu().to(torch.float64) for kind, pieces in self._pieces.items()}
        self._numbers = {kind: _numbers_of(flat) for kind, flat in self._flat.items()}
        self._pieces.clear()

    def tensor(self, ticket: int) -> Tensor:
        """[n] float64 on the CPU."""
        kind, start, size = self._places[ticket]
        return self._flat[kind][start : start + size]

    def number(self, ticket: int) -> float:
        """The only number of a one-element tensor."""
        return float(self.numbers(ticket)[0])

    def numbers(self, ticket: int) -> "memoryview[float]":
        """The same memory as `tensor`, as numbers that Python reads without asking torch for each."""
        kind, start, size = self._places[ticket]
        return self._numbers[kind][start : start + size]

    def norms(self, tickets: list[int]) -> list[float]:
        """Euclidean norm of each ticket's numbers, all worked out together."""
        pieces = [self.tensor(ticket) for ticket in tickets]
        if not pieces:
            return []
        lengths = torch.tensor([len(piece) for piece in pieces])
        sums = torch.segment_reduce(torch.cat(pieces).square_(), "sum", lengths=lengths)
        norms: list[float] = sums.sqrt_().tolist()
        return norms

    def vector(self, ticket: int) -> Vector:
        """A copy of the numbers, packed."""
        return Vector(self.numbers(ticket).tobytes())


def _numbers_of(flat: Tensor) -> "memoryview[float]":
    """The memory of a float64 tensor on the CPU; it must be kept alive. Not through numpy, which may be missing."""
    block = memoryview(b"")
    if flat.numel():
        block = memoryview((ctypes.c_ubyte * (8 * flat.numel())).from_address(flat.data_ptr()))
    return block.cast("B").cast("d")


def vector(tensor: Tensor) -> Vector:
    """Pack a contiguous CPU float64 tensor; goes through memory because numpy may be missing."""
    return Vector(ctypes.string_at(tensor.data_ptr(), tensor.numel() * 8)) if tensor.numel() else Vector()
