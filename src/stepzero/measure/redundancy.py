"""Which rows of a matrix are equal, proportional or interchangeable? Sorting, never comparison of all pairs.

Shapes: U units, N numbers a unit, K random projections.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

PROJECTIONS = 16
"""Two different rows agree in all of them with probability about 2^-45 in float64."""
_SORTED = 3
"""Projections that vectors are sorted by: of 1,000 in four dimensions, half have a neighbour in one by chance."""
_CHUNK = 1 << 19
"""Numbers projected in one go: 4 MiB of float64, which the cache holds and the allocator hands out again."""
_COMPARED = 1 << 16
"""Numbers compared in one go: both sides stay in the cache."""


def projector(length: int, count: int = PROJECTIONS, *, seed: int = 0) -> Tensor:
    """[count, length] random directions in float64, the same for every tensor of this length.

    Drawn in float32, which takes a ninth of the time.
    """
    generator = torch.Generator().manual_seed(0x51D + 7919 * seed + length)
    return torch.randn(count, length, generator=generator, dtype=torch.float32).double()


def equal_groups(vectors_UN: Tensor, tolerance: float, lengths: Tensor | None = None) -> list[list[int]]:
    """Groups of two or more vectors that differ by at most ``tolerance`` times their own norm, in index order.

    ``lengths``: of runs of neighbours, [R] summing to U; only vectors of one run are compared. One run when None.
    O(U log U): sorted by random projections, one after the other; only what is near in all of them is compared in full.
    """
    if vectors_UN.shape[0] < 2:
        return []
    norms_U = torch.linalg.vector_norm(vectors_UN, dim=1)
    keys_UK = vectors_UN @ projector(vectors_UN.shape[1], _SORTED, seed=1).T
    # A projection moves by no more than |r| |a - b|, and |r| is near sqrt(N).
    reach_U = tolerance * norms_U * (2 * vectors_UN.shape[1] ** 0.5 + 4)
    members = torch.arange(len(norms_U))
    lengths = torch.tensor([len(norms_U)]) if lengths is None else lengths
    for key_U in keys_UK.T:
        members, lengths = _near(members, lengths, key_U, reach_U)
        if not len(lengths):
            return []
    leaders = torch.repeat_interleave(members[lengths.cumsum(0) - lengths], lengths)
    distance = torch.linalg.vector_norm(vectors_UN[members] - vectors_UN[leaders], dim=1)
    is_close = distance <= tolerance * torch.maximum(norms_U[members], norms_U[leaders])
    groups: list[list[int]] = []
    for run, whole in zip(_split_up(members, lengths), _all_of_each(is_close, lengths), strict=True):
        # nearly every run is one group
        groups += [sorted(run)] if whole else _verified(vectors_UN, norms_U, torch.tensor(run), tolerance)
    return sorted(groups)


def _near(members: Tensor, lengths: Tensor, key_U: Tensor, reach_U: Tensor) -> tuple[Tensor, Tensor]:
    """Split runs of members [M] by one more projection; runs of a single member are dropped.

    Returns the members that are left, run after run, and the lengths of the runs.
    """
    run_M = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    order = torch.argsort(key_U[members], stable=True)
    order = order[torch.argsort(run_M[order], stable=True)]
    members, run_M = members[order], run_M[order]
    key_M, reach_M = key_U[members], reach_U[members]
    is_near = (key_M[1:] - key_M[:-1]) <= torch.maximum(reach_M[1:], reach_M[:-1])
    starts, lengths = _runs(is_near & (run_M[1:] == run_M[:-1]))
    first = torch.repeat_interleave(starts, lengths)
    inside = torch.arange(len(first)) - torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    return members[first + inside], lengths


def _runs(is_near: Tensor) -> tuple[Tensor, Tensor]:
    """Start and length [R] of each maximal run of sorted neighbours that are near each other."""
    steps = torch.diff(is_near.to(torch.int8), prepend=is_near.new_zeros(1), append=is_near.new_zeros(1))
    starts, stops = torch.nonzero(steps == 1).flatten(), torch.nonzero(steps == -1).flatten()
    return starts, stops - starts + 1


def _split_up(values: Tensor, lengths: Tensor) -> list[list[int]]:
    """Consecutive pieces of these lengths, as lists."""
    listed, stops = values.tolist(), lengths.cumsum(0).tolist()
    return [listed[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def _all_of_each(is_true: Tensor, lengths: Tensor) -> list[bool]:
    """Whether all of each consecutive piece are true."""
    ends = lengths.cumsum(0) - 1
    counts = is_true.cumsum(0)[ends]
    return torch.diff(counts, prepend=counts.new_zeros(1)).eq(lengths).tolist()


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
    live = torch.nonzero(torch.linalg.vector_norm(vectors_UN, dim=1) > 0).flatten()
    groups = equal_groups(directions(vectors_UN[live]), tolerance) if len(live) else []
    return [[int(live[place]) for place in group] for group in groups]


def directions(vectors_UN: Tensor) -> Tensor:
    """[U, N] of norm 1, one for all multiples of a vector, of either sign; no vector may be zero."""
    unit_UN = vectors_UN / torch.linalg.vector_norm(vectors_UN, dim=1, keepdim=True)
    sign_U = torch.sign(unit_UN @ projector(unit_UN.shape[1], 1, seed=2)[0])
    return torch.mul(unit_UN, sign_U[:, None])


def twin_groups(rows_UN: Tensor) -> list[list[int]]:
    """Groups of two or more rows of a [U, N] matrix that are equal, element by element, in index order."""
    groups = equal_groups(projected(rows_UN), 16 * torch.finfo(torch.float64).eps)
    if not groups:
        return []
    members = torch.tensor([unit for group in groups for unit in group])
    lengths = torch.tensor([len(group) for group in groups])
    leaders = torch.repeat_interleave(torch.tensor([group[0] for group in groups]), lengths)
    found = []
    for group, same in zip(groups, _all_of_each(_agree(rows_UN, members, leaders), lengths), strict=True):
        found += [group] if same else _exactly_equal(rows_UN, group)
    return sorted(found)


def projected(rows_UN: Tensor) -> Tensor:
    """[U, K] float64 projections, a slab of rows at a time so that no float64 copy of the whole is made."""
    projector_NK = projector(rows_UN.shape[1]).T
    slab = max(1, _CHUNK // rows_UN.shape[1])
    return torch.cat([rows_UN[start : start + slab].double() @ projector_NK for start in range(0, len(rows_UN), slab)])


def _exactly_equal(rows_UN: Tensor, group: list[int]) -> list[list[int]]:
    """Split a group of equal projections into groups whose rows are equal bit by bit, each row read once or twice."""
    found, rest = [], torch.tensor(group)
    while len(rest) > 1:
        is_same = _agree(rows_UN, rest, rest[:1].expand(len(rest)))
        if int(is_same.sum()) > 1:
            found.append(rest[is_same].tolist())
        rest = rest[~is_same]
    return found


def _agree(rows_UN: Tensor, one_M: Tensor, other_M: Tensor) -> Tensor:
    """[M] whether row ``one`` equals row ``other`` in every element, a bounded number of rows at a time."""
    step = max(1, _COMPARED // max(1, rows_UN.shape[1]))
    found = torch.ones(len(one_M), dtype=torch.bool)
    for start in range(0, len(one_M), step):
        one, other = (rows_UN.index_select(0, each[start : start + step]) for each in (one_M, other_M))
        if not torch.equal(one, other):  # nearly always they are, and that is the cheapest question
            found[start : start + step] = (one == other).all(1)
    return found


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
