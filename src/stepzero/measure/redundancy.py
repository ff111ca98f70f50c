"""Which rows of a matrix are equal, proportional or interchangeable? Sorting, never comparison of all pairs.

Shapes: U units, N numbers a unit, K random projections.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

PROJECTIONS = 16
"""Two different rows agree in all of them with probability about 2^-45 in float64."""
_CHUNK = 1 << 22
"""Numbers projected in one go: 32 MiB of float64."""


def projector(length: int, count: int = PROJECTIONS, *, seed: int = 0) -> Tensor:
    """[count, length] random directions in float64, the same for every tensor of this length."""
    generator = torch.Generator().manual_seed(0x51D + 7919 * seed + length)
    return torch.randn(count, length, generator=generator, dtype=torch.float64)


def equal_groups(vectors_UN: Tensor, tolerance: float) -> list[list[int]]:
    """Groups of two or more vectors that differ by at most ``tolerance`` times their own norm, in index order.

    O(U log U): sorted by one random projection, only neighbours are compared in full.
    """
    if vectors_UN.shape[0] < 2:
        return []
    norms_U = torch.linalg.vector_norm(vectors_UN, dim=1)
    key_U = vectors_UN @ projector(vectors_UN.shape[1], 1, seed=1)[0]
    order = torch.argsort(key_U, stable=True)
    sorted_U = key_U[order]
    # A projection moves by no more than |r| |a - b|, and |r| is near sqrt(N).
    reach_U = tolerance * norms_U[order] * (2 * vectors_UN.shape[1] ** 0.5 + 4)
    is_near = (sorted_U[1:] - sorted_U[:-1]) <= torch.maximum(reach_U[1:], reach_U[:-1])
    runs = [order[start:stop] for start, stop in _runs(is_near.tolist())]
    if not runs:
        return []
    leaders = torch.cat([run[:1].expand(len(run)) for run in runs])
    members = torch.cat(runs)
    distance = torch.linalg.vector_norm(vectors_UN[members] - vectors_UN[leaders], dim=1)
    is_close = (distance <= tolerance * torch.maximum(norms_U[members], norms_U[leaders])).split([len(r) for r in runs])
    groups: list[list[int]] = []
    for run, close in zip(runs, is_close, strict=True):  # nearly every run is one group
        whole = bool(close.all())
        groups += [sorted(run.tolist())] if whole else _verified(vectors_UN, norms_U, run, tolerance)
    return sorted(groups)


def _runs(is_near: list[bool]) -> list[tuple[int, int]]:
    """Maximal runs [start, stop) of sorted neighbours that are near each other."""
    runs, start = [], None
    for place, near in enumerate([*is_near, False]):
        if near and start is None:
            start = place
        if not near and start is not None:
            runs.append((start, place + 1))
            start = None
    return runs


def _verified(vectors_UN: Tensor, norms_U: Tensor, candidates: Tensor, tolerance: float) -> list[list[int]]:
    """Split one run of near projections into groups whose vectors agree in full."""
    groups = []
    while len(candidates) > 1:
        leader = candidates[0]
        distance = torch.linalg.vector_norm(vectors_UN[candidates] - vectors_UN[leader], dim=1)
        belongs = distance <= tolerance * torch.maximum(norms_U[candidates], norms_U[leader])
        if int(belongs.sum()) > 1:
            groups.append(sorted(candidates[belongs].tolist()))
        candidates = candidates[~belongs]
    return groups


def parallel_groups(vectors_UN: Tensor, tolerance: float) -> list[list[int]]:
    """Groups of two or more non-zero vectors that are multiples of each other, of either sign."""
    norms_U = torch.linalg.vector_norm(vectors_UN, dim=1)
    live = torch.nonzero(norms_U > 0).flatten()
    unit = vectors_UN[live] / norms_U[live, None]
    sign = torch.sign(unit @ projector(unit.shape[1], 1, seed=2)[0]) if len(live) else unit
    groups = equal_groups(unit * sign[:, None], tolerance) if len(live) else []
    return [[int(live[place]) for place in group] for group in groups]


def twin_groups(rows_UN: Tensor) -> list[list[int]]:
    """Groups of two or more rows of a [U, N] matrix that are equal, element by element, in index order."""
    groups = equal_groups(_projected(rows_UN), 16 * torch.finfo(torch.float64).eps)
    if not groups:
        return []
    members = torch.tensor([unit for group in groups for unit in group])
    leaders = torch.tensor([group[0] for group in groups for _ in group])
    pairs = zip(_slabs(rows_UN, members), _slabs(rows_UN, leaders), strict=True)
    is_same = torch.cat([(one == other).all(1) for one, other in pairs]).split([len(group) for group in groups])
    found = []
    for group, same in zip(groups, is_same, strict=True):
        found += [group] if bool(same.all()) else _exactly_equal(rows_UN, group)
    return sorted(found)


def _projected(rows_UN: Tensor) -> Tensor:
    """[U, K] float64 projections, a slab of rows at a time so that no float64 copy of the whole is made."""
    projector_NK = projector(rows_UN.shape[1]).T
    slab = max(1, _CHUNK // rows_UN.shape[1])
    return torch.cat([rows_UN[start : start + slab].double() @ projector_NK for start in range(0, len(rows_UN), slab)])


def _exactly_equal(rows_UN: Tensor, group: list[int]) -> list[list[int]]:
    """Split a group of equal projections into groups whose rows are equal bit by bit, each row read once or twice."""
    found, rest = [], torch.tensor(group)
    while len(rest) > 1:
        is_same = torch.cat([(part == rows_UN[rest[0]]).all(1) for part in _slabs(rows_UN, rest)])
        if int(is_same.sum()) > 1:
            found.append(rest[is_same].tolist())
        rest = rest[~is_same]
    return found


def _slabs(rows_UN: Tensor, chosen: Tensor) -> Iterator[Tensor]:
    """The chosen rows, a bounded number of them at a time."""
    step = max(1, _CHUNK // rows_UN.shape[1])
    return (rows_UN[chosen[start : start + step]] for start in range(0, len(chosen), step))


@dataclass(frozen=True)
class Stage:
    """One hidden step of a plain stack: ``weight`` [U, C, T] (units, inputs, taps) and per-unit numbers [U, E]."""

    weight: Tensor
    extra: Tensor
    """Bias, norm gain and shift, slope: whatever else belongs to a unit's row."""


def coarsest_partition(stages: list[Stage], tolerance: float = 1e-9) -> list[list[int]]:
    """Colours of the hidden units of a plain stack: the coarsest lumpable partition, without any data.

    ``stages`` are the weight layers in order; inputs and the last stage's outputs are each of their own colour.
    Units of one colour have equal responses for every input and equal gradients for every loss (theorem 2 of the
    theory notes); colours are numbered from 0 in each layer. O(parameters x rounds): a round is one product of each
    weight with a random number per colour, which agrees for two rows only if their sums over every colour do.
    """
    hidden = stages[:-1]
    colours = [[0] * len(stage.weight) for stage in hidden]
    for round_number in range(sum(len(each) for each in colours) + 1):
        refined = [_split(stages, colours, layer, tolerance, round_number) for layer in range(len(hidden))]
        if [max(each, default=0) for each in refined] == [max(each, default=0) for each in colours]:
            return refined
        colours = refined
    return colours


def _split(stages: list[Stage], colours: list[list[int]], layer: int, tolerance: float, round_number: int) -> list[int]:
    """New colours of one layer: old colour, extras, and both block sums."""
    stage, above = stages[layer], stages[layer + 1]
    below = colours[layer - 1] if layer else list(range(stage.weight.shape[1]))
    over = colours[layer + 1] if layer + 1 < len(colours) else list(range(len(above.weight)))
    down = torch.einsum("uct,ck->ukt", stage.weight.double(), _marks(below, 2 * round_number)).flatten(1)
    # A flattening between convolution and linear layer gives each unit several columns: all of them count.
    width = len(stage.weight)
    columns = above.weight.double().reshape(len(above.weight), width, -1)
    up = torch.einsum("auc,ak->ukc", columns, _marks(over, 2 * round_number + 1)).flatten(1)
    parts = [
        part / part.norm(dim=1).max().clamp(min=1e-300) for part in (down, up, stage.extra.double()) if part.numel()
    ]
    own = _marks(colours[layer], 2 * round_number, 2)
    groups = equal_groups(torch.cat([own, *parts], 1), tolerance)
    first = {unit: group[0] for group in groups for unit in group}
    names: dict[int, int] = {}
    return [names.setdefault(first.get(unit, unit), len(names)) for unit in range(width)]


def _marks(colours: list[int], seed: int, count: int = 4) -> Tensor:
    """[U, count]: random numbers that units of one colour share."""
    generator = torch.Generator().manual_seed(0xC010 + seed)
    table = torch.randn(max(colours, default=0) + 1, count, generator=generator, dtype=torch.float64)
    return table[torch.tensor(colours, dtype=torch.long)]
