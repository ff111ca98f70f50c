"""A frozen, hashable run of float64 numbers that needs neither torch nor numpy.

Per-unit statistics are kept in this form so that a Trace stays small, immutable and free of torch:
rules read it with ``for value in vector`` or ``vector[3]``, JSON carries it as base64 of little-endian float64.
"""

import array
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vector:
    """Float64 numbers in one immutable byte string (little-endian, 8 bytes each)."""

    data: bytes = b""

    @classmethod
    def of(cls, values: Iterable[float]) -> "Vector":
        """Pack any iterable of numbers."""
        packed = array.array("d", values)
        if sys.byteorder == "big":
            packed.byteswap()
        return cls(packed.tobytes())

    def unpack(self) -> "array.array[float]":
        """Return the numbers as a fresh ``array.array('d')``; repeated access should go through one unpacked copy."""
        unpacked = array.array("d", self.data)
        if sys.byteorder == "big":
            unpacked.byteswap()
        return unpacked

    def __len__(self) -> int:
        return len(self.data) // 8

    def __iter__(self) -> Iterator[float]:
        return iter(self.unpack())

    def __getitem__(self, index: int) -> float:
        return self.unpack()[index]

    def __repr__(self) -> str:
        shown = ", ".join(f"{value:.4g}" for value in self.unpack()[:4])
        return f"Vector([{shown}{', ...' if len(self) > 4 else ''}], len={len(self)})"
