"""What training did to groups of units: whether their responses are still proportional after it.

Theory speaks of real numbers, training computes with rounded ones. Where training is unstable across a symmetry
(twins behind a norm whose variance they make up; Adam on a gradient that is zero but for rounding), a difference of
1e-16 becomes one of 1 within the run, and what is seen at its end is the rounding. So every run has a shadow: the
same network with each parameter off by one rounding, trained alike. How far shadow and network are apart says what
rounding has become by then, whatever the probe foretold. A group is judged at the last step of `HORIZONS` at which
that is still below `CALM` of its responses: the whole run for nearly all. A gap that opens later counts when it is
`BEYOND` times what rounding moves by then. Real differences need no time: a relation that an update does not keep is
broken at the step at which the gradients arrive (`Outcome.broke`), so the shortest horizon at which ``stay`` is said
is `FEW` steps.

Adam divides by its eps of 1e-8 what is zero but for rounding, and no horizon is short enough. No statement of the
theory depends on eps: such a group is judged by a second run with the eps of `training.STEADY`, which rounding does
not pass (`Outcome.is_steady`). What is not decided then is unclear.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.symmetry.layers import ExpertLinear, Transposed
from benchmarks.symmetry.plants import Group
from benchmarks.symmetry.population import Case
from benchmarks.symmetry.training import OPTIMIZERS, STEADY, MadeOptimizer, train

STAY = 1e-9
"""Largest gap, relative to the responses' rms, that rounding explains at a calm horizon."""
PART = 1e-6
"""Smallest gap that it does not."""
CALM = 1e-11
"""Of the responses' rms: distance of the shadow up to which rounding decides nothing. A run rounds more than once."""
BEYOND = 1e3
"""Times the distance of the shadow from which a gap is none of rounding's doing."""
HORIZONS = (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 200, 300)
FEW = 7
"""Steps after which a relation that has not broken is kept: no later break was seen where rounding had no say."""

Responses = dict[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """The fate of one group under one optimizer: stay | part | unclear | untouched (no gradient ever reached it)."""

    fate: str
    start: float
    first: float
    """After one step."""
    end: float
    """At the horizon."""
    horizon: int
    """Step at which the group was judged; 0 when rounding decided from the first step on."""
    last: float
    """After all steps, whatever rounding made of it."""
    broke: int | None
    """First step looked at with a gap of at least `PART`."""
    is_steady: bool = False
    """Judged with the large eps."""


def responses(model: nn.Module, inputs: Tensor, parameters: Iterable[str]) -> Responses:
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


def gap(group: Group, seen: Responses) -> float:
    """Largest difference between a unit's response over its factor and the first one's, relative to their rms."""
    rows = _rows(group, seen)
    return _relative([row - rows[0] for row in rows], rows)


def moved(group: Group, seen: Responses, other: Responses) -> float:
    """Largest difference between a unit's responses in two networks, relative to their rms."""
    rows = _rows(group, seen)
    return _relative([one - two for one, two in zip(_rows(group, other), rows, strict=True)], rows)


def _rows(group: Group, seen: Responses) -> list[Tensor]:
    return [seen[name][unit] / factor for (name, unit), factor in zip(group.units, group.factors, strict=True)]


def _relative(differences: list[Tensor], rows: list[Tensor]) -> float:
    """Largest rms of a difference over the largest of a row; NaN once training has overflowed."""
    scale, apart = (float(torch.stack(each).square().mean(1).max().sqrt()) for each in (rows, differences))
    if not math.isfinite(scale):
        return math.nan
    return apart / scale if scale else 0.0


@dataclass(frozen=True)
class _Path:
    """One training run: responses by step, the largest gradients, the trained model."""

    seen: dict[int, Responses]
    gradients: Responses
    model: nn.Module


def fates(case: Case, groups: Sequence[Group], optimizer: str, *, steps: int = 300) -> list[Outcome]:
    """Train the case's model and its shadow, and look at each group on the way."""
    found = _trained(case, groups, OPTIMIZERS[optimizer], steps)
    loud = [index for index, outcome in enumerate(found) if outcome.horizon < min(FEW, steps)]
    if loud and optimizer in STEADY:
        again = _trained(case, [groups[index] for index in loud], STEADY[optimizer], steps)
        for index, outcome in zip(loud, again, strict=True):
            found[index] = replace(outcome, is_steady=True)
    return found


def _trained(case: Case, groups: Sequence[Group], optimizer: MadeOptimizer, steps: int) -> list[Outcome]:
    names = {name for group in groups for name, _ in group.units}
    path = _path(case, copy.deepcopy(case.model), names, optimizer, steps)
    shadow = _path(case, nudged(case.model, case.seed), names, optimizer, steps)
    return [_outcome(group, path, shadow) for group in groups]


def nudged(model: nn.Module, seed: int) -> nn.Module:
    """A copy with every parameter one rounding up or down."""
    found, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in found.parameters():
            sign = (torch.randint(0, 2, each.shape, generator=generator) * 2 - 1).to(each.dtype)
            each.mul_(1 + sign * torch.finfo(each.dtype).eps)
    return found


def _path(case: Case, model: nn.Module, names: set[str], optimizer: MadeOptimizer, steps: int) -> _Path:
    def look() -> Responses:
        return responses(copy.deepcopy(model), case.probe_inputs, names)

    seen = {0: look()}

    def each_step(step: int) -> None:
        if step in HORIZONS or step == steps:
            seen[step] = look()

    gradients = train(model, case.data, case.loss_of, optimizer, steps=steps, seed=case.seed, after=each_step)
    return _Path(seen, gradients, model)


def _outcome(group: Group, path: _Path, shadow: _Path) -> Outcome:
    gaps = {step: gap(group, seen) for step, seen in path.seen.items()}
    noise = {step: moved(group, seen, shadow.seen[step]) for step, seen in path.seen.items()}
    last, horizon = max(gaps), calm_until(noise)
    broke = next((step for step, value in gaps.items() if not value < PART), None)
    if broke is not None and gaps[broke] >= BEYOND * noise[broke]:
        horizon = max(horizon, broke)
    is_still = any(_largest(path.model, path.gradients[name], name, unit) == 0.0 for name, unit in group.units)
    fate = "untouched" if is_still else _fate(gaps[horizon], horizon, min(FEW, last))
    return Outcome(fate, gaps[0], gaps[min(1, last)], gaps[horizon], horizon, gaps[last], broke)


def calm_until(noise: dict[int, float]) -> int:
    """The last step up to which rounding, by step, stays below `CALM`; 0 when it never does."""
    horizon = 0
    for step, value in sorted(noise.items()):
        if not value <= CALM:
            break
        horizon = step
    return horizon


def _fate(end: float, horizon: int, few: int) -> str:
    if end >= PART:
        return "part"
    return "stay" if end <= STAY and horizon >= few else "unclear"


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
