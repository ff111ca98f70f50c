"""Parameters that lie in one memory without being one: a transposed copy that is no copy, slices of one flat tensor.

What is written to one of them is written to the other, and no factor can be right for both.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined] # torch exports it, its stubs do not

from stepzero.core.plan import Entry
from stepzero.probe import tree
from stepzero.probe.restore import storage_pointer

Shared = Mapping[str, tuple[str, ...]]
"""Parameter -> the others whose memory overlaps its own."""


def shared(model: nn.Module) -> Shared:
    """Every parameter that overlaps others in memory, under its first name."""
    storages: dict[int, list[tuple[str, int, int]]] = {}
    for name, tensor in tree.once(tree.parameters(model)):
        if (span := _span(tensor)) is not None:
            storages.setdefault(span[0], []).append((name, *span[1:]))
    found = {
        name: tuple(other for other, low, high in members if other != name and low < stop and start < high)
        for members in storages.values()
        for name, start, stop in members
        if len(members) > 1
    }
    return {name: others for name, others in found.items() if others}


def decided(planned: Iterable[Entry], found: Shared) -> tuple[Entry, ...]:
    """Of parameters that overlap only the first is written, and none that overlaps one to be kept."""
    entries = tuple(planned)
    taken = {entry.name: "stays as it is" for entry in entries if entry.action == "kept"}
    made = []
    for entry in entries:
        is_written = entry.action in ("drawn", "set")
        other = next((name for name in found.get(entry.name, ()) if name in taken), None) if is_written else None
        if other is not None:
            why = f"its memory is also that of {other}, which {taken[other]}"
            made.append(Entry(entry.name, "skipped", entry.role, why, aliases=entry.aliases))
            continue
        if is_written:
            taken[entry.name] = "was written"
        made.append(entry)
    return tuple(made)


def _span(tensor: Tensor) -> tuple[int, int, int] | None:
    """Address of the storage, first and last element used (the last excluded); None without memory."""
    pointer = 0 if isinstance(tensor, UninitializedTensorMixin) else storage_pointer(tensor)
    if not pointer or not tensor.numel():
        return None
    start = int(tensor.storage_offset())
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return pointer, start, start + last + 1
