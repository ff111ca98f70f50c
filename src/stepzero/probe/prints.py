"""Fingerprints of whole weights at one state of a copy, and the quick question whether any two units look alike.

Shapes: U units, P projections (of all visits and batches together).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stepzero.core.symmetry import Siblings, Width
from stepzero.measure.redundancy import equal_groups, parallel_groups
from stepzero.probe.fingerprints import Visit
from stepzero.probe.replica import Replica

_PATTERN = 8
"""Values; a draw of more than a few numbers has more, also in bfloat16."""
DEAD = 1e-13
"""Of the largest gradient anywhere: less than rounding leaves of a cancelled sum."""


@dataclass
class Prints:
    """Fingerprints of one weight's units at one state of the copy."""

    visits: list[Visit]
    forward: Tensor
    """[U, P]"""
    backward: Tensor
    """[U, P]; zeros where no gradient arrives."""
    key: tuple[int, ...]
    """Positions of each visit: only units seen at as many places can be compared."""
    live: Tensor
    """[U] whether a gradient arrives."""
    varies: Tensor
    """[U] whether the response depends on the position at all."""
    step: int = 0


def prints_of(visits: list[Visit], largest: float, step: int) -> Prints | None:
    """Join the visits of one weight; None when they cannot be compared. ``largest``: gradient seen anywhere."""
    same = [visit for visit in visits if visit.forward.shape[0] == visits[0].forward.shape[0]]
    forward = torch.cat([visit.forward for visit in same], 1)
    arrived = [visit.backward if visit.backward is not None else torch.zeros_like(visit.forward) for visit in same]
    backward = torch.cat(arrived, 1)
    if not (bool(forward.isfinite().all()) and bool(backward.isfinite().all())) or not forward.numel():
        return None
    live = backward.norm(dim=1) > DEAD * largest
    varies = torch.stack([visit.varies for visit in same]).any(0)
    return Prints(same, forward, backward, tuple(visit.positions for visit in same), live, varies, step)


def largest_gradient(visits: dict[str, list[Visit]]) -> float:
    """Norm of the largest print of a gradient anywhere; 0 without any."""
    arrived = (visit.backward for each in visits.values() for visit in each if visit.backward is not None)
    return max((float(each.norm(dim=1).max()) for each in arrived if each.numel()), default=0.0)


def all_different(visits: dict[str, list[Visit]], tolerance: float) -> tuple[Width, ...]:
    """Widths of a network in which no two responses are equal or multiples: one forward is enough to see that."""
    prints = {name: found for name, each in visits.items() if (found := prints_of(each, 0.0, 0)) is not None}
    pools: dict[tuple[int, ...], list[Tensor]] = {}
    for each in prints.values():
        pools.setdefault(each.key, []).append(each.forward)
    for pool in pools.values():
        joined = torch.cat(pool)
        if equal_groups(joined, tolerance) or parallel_groups(joined, tolerance):
            return ()
    return tuple(Width(name, len(each.forward), len(each.forward)) for name, each in prints.items())


def siblings(replica: Replica) -> Iterator[Siblings]:
    """Weights in different storage with equal content that was drawn: neither constant nor a pattern."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, each in replica.parameters.items():
        if each.dim() < 2 or each.numel() < 2 or bool((each == each.flatten()[0]).all()):
            continue
        flat = each.detach().flatten()
        key = (tuple(each.shape), flat[0].item(), flat[-1].item(), flat.sum().item())
        groups.setdefault(key, []).append(name)
    for names in groups.values():
        first = replica.parameters[names[0]]
        equal = [name for name in names if torch.equal(replica.parameters[name], first)]
        if len(equal) > 1 and not _is_pattern(first):
            yield Siblings(tuple(equal), any(name not in replica.trainable for name in equal))


def _is_pattern(tensor: Tensor) -> bool:
    """Identities, fixed kernels, masks: many entries and few values."""
    numbers = tensor.detach()
    values: Tensor = (torch.view_as_real(numbers) if numbers.is_complex() else numbers).unique()
    return values.numel() <= min(_PATTERN, tensor.numel() // 2)
