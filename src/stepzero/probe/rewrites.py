"""Who last wrote to memory that more than one tensor looks at: a write through one is read through all the others."""

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from stepzero.probe.nodes import Node

_ALONE = 2
"""References to a storage that one tensor looks at: the tensor's own, and that of whoever is asking."""


class Rewrites:
    """Keeps the last writer of every shared storage.

    Keyed by the storage object and not by the address of its memory, which the next tensor may be given. A weak
    reference keeps the key from being given out again, and none of the memory alive.
    """

    def __init__(self) -> None:
        self.writers: dict[int, tuple[StorageWeakRef, Node]] = {}
        self._shared: set[int] = set()

    def expect(self, targets: list[Tensor]) -> None:
        """Look, ahead of a write, which of its targets share their memory with another tensor."""
        keys = (_key(target) for target in targets)
        self._shared = {key for key in keys if key and _num_references(key) > _ALONE}

    def note(self, target: Tensor, writer: Node) -> None:
        """Remember ``writer`` if whoever else looks at the memory of ``target`` sees new values now."""
        if self._shared and (key := _key(target)) in self._shared:
            self.writers[key] = StorageWeakRef(target.untyped_storage()), writer

    def latest(self, tensor: Tensor, node: Node | None) -> Node | None:
        """The later of ``node``, where ``tensor`` came from, and the last write to its memory through another."""
        found = self.writers.get(_key(tensor))
        if found is None:
            return node
        writer = found[1]
        is_later = node is None or node.index is None or (writer.index or 0) > node.index
        return writer if is_later else node


def _key(tensor: Tensor) -> int:
    """Address of the storage object under ``tensor``; 0 when it has none (sparse, wrappers)."""
    try:
        return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - the only name of a storage that a copy keeps
    except (RuntimeError, NotImplementedError, ValueError):
        return 0


def _num_references(key: int) -> int:
    return int(torch._C._storage_Use_Count(key))  # noqa: SLF001 - torch counts them and has no public way to ask
