"""What training did to groups of units: whether their responses are still proportional after it."""

import copy
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.symmetry.layers import ExpertLinear, Transposed
from benchmarks.symmetry.plants import Group
from benchmarks.symmetry.population import Case
from benchmarks.symmetry.training import OPTIMIZERS, STEADY, train

STAY = 1e-9
"""Largest gap, relative to the responses' rms, that rounding of 300 steps explains."""
PART = 1e-6
"""Smallest gap that it does not."""
FEW = 10


@dataclass(frozen=True)
class Outcome:
    """The fate of one group under one optimizer: stay | part | unclear | untouched (no gradient ever reached it)."""

    fate: str
    start: float
    first: float
    """After one step."""
    end: float


def responses(model: nn.Module, inputs: Tensor, parameters: Iterable[str]) -> dict[str, Tensor]:
    """Responses [U, N] of every unit of the given weights: the outputs of the modules that hold them."""
    wanted = set(parameters)
    seen: dict[str, list[Tensor]] = defaultdict(list)
    hooks = [
        model.get_submodule(name.rpartition(".")[0]).register_forward_hook(
            lambda module, _, output, name=name: seen[name].append(_by_unit(module, output.detach()))
        )
        for name in wanted
    ]
    with torch.no_grad():
        model(inputs)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts, dim=1) for name, parts in seen.items()}


def _by_unit(module: nn.Module, output: Tensor) -> Tensor:
    """[U, N]: channels are axis 1 of a map, experts and their units axes 0 and 2, else units are last."""
    if isinstance(module, nn.Conv2d):
        return output.movedim(1, 0).flatten(1)
    if isinstance(module, ExpertLinear):
        return output.movedim(2, 1).flatten(0, 1).flatten(1)
    return output.movedim(-1, 0).flatten(1)


def gap(group: Group, seen: dict[str, Tensor]) -> float:
    """Largest difference between a unit's response over its factor and the first one's, relative to their rms."""
    rows = [seen[name][unit] / factor for (name, unit), factor in zip(group.units, group.factors, strict=True)]
    scale = max(float(row.square().mean().sqrt()) for row in rows)
    apart = max(float((row - rows[0]).square().mean().sqrt()) for row in rows)
    return apart / scale if scale else 0.0


def fates(case: Case, groups: Sequence[Group], optimizer: str, *, steps: int = 300) -> list[Outcome]:
    """Train a copy of the case's model and look at each group before and after."""
    model = copy.deepcopy(case.model)
    names = {name for group in groups for name, _ in group.units}
    before = responses(copy.deepcopy(model), case.probe_inputs, names)
    once = copy.deepcopy(model)
    train(once, case.data, case.loss_of, OPTIMIZERS[optimizer], steps=1, seed=case.seed)
    gradients = train(model, case.data, case.loss_of, OPTIMIZERS[optimizer], steps=steps, seed=case.seed)
    first, last = responses(once, case.probe_inputs, names), responses(model, case.probe_inputs, names)
    found = []
    for group in groups:
        is_still = any(_largest(model, gradients[name], name, unit) == 0.0 for name, unit in group.units)
        gaps = gap(group, before), gap(group, first), gap(group, last)
        found.append(Outcome("untouched" if is_still else _fate(gaps[-1]), *gaps))
    return found


def steady_gap(case: Case, group: Group, optimizer: str, *, steps: int = 300) -> float:
    """The gap where rounding has little say: after a few steps, Adam with a large eps.

    A relation that an update does not keep breaks as soon as gradients flow, a step a layer at most, and by far more
    than rounding. Rounding of 1e-16 that doubles every step, because the symmetric set repels, stays below 1e-9 for 20.
    """
    model = copy.deepcopy(case.model)
    chosen = STEADY.get(optimizer, OPTIMIZERS[optimizer])
    train(model, case.data, case.loss_of, chosen, steps=min(steps, FEW), seed=case.seed)
    return gap(group, responses(model, case.probe_inputs, {name for name, _ in group.units}))


def _fate(end: float) -> str:
    if not math.isfinite(end) or STAY < end < PART:
        return "unclear"
    return "stay" if end <= STAY else "part"


def _largest(model: nn.Module, gradient: Tensor, name: str, unit: int) -> float:
    """Largest gradient the row of one unit ever had."""
    return float(rows_of(model, name, gradient)[unit].max())


def rows_of(model: nn.Module, name: str, values: Tensor) -> Tensor:
    """A weight (or its gradient) as [U, inputs], in the order of the unit indices."""
    module: Any = model.get_submodule(name.rpartition(".")[0])
    if isinstance(module, Transposed):
        return values.movedim(-1, 0)
    if isinstance(module, ExpertLinear):
        return values.movedim(2, 1).flatten(0, 1)
    return values.flatten(1)
