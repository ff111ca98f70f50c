"""Networks with planted copies of units, and what real training makes of them."""

import copy
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from stepzero.core.symmetry import SymmetryFact, UnitBlock
from stepzero.probe.subject import subject_of
from stepzero.probe.symmetry import symmetry
from tests.probe.observing import seeded

X = seeded(24, 6)
SGD = lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3)  # noqa: E731 - a name
ADAM = lambda parameters: torch.optim.Adam(parameters, lr=1e-2)  # noqa: E731 - for a table of optimizers
ADAM_L2 = lambda parameters: torch.optim.Adam(parameters, lr=1e-2, weight_decay=1e-1)  # noqa: E731 - as above


def square(output: Tensor) -> Tensor:
    """A loss that tells all outputs and samples apart."""
    places = torch.arange(output.numel(), dtype=torch.float64)
    target = (0.737 * places.square()).sin().view(output.shape)
    return (output - target.to(output.dtype)).square().mean()


def stack(*widths: int, phi: Callable[[], nn.Module] = nn.Tanh, seed: int = 0) -> nn.Sequential:
    """Linear layers with ``phi`` between them, every weight and bias drawn."""
    draw = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layer = nn.Linear(before, after)
        nn.init.normal_(layer.weight, std=before**-0.5, generator=draw)
        nn.init.normal_(layer.bias, std=0.1, generator=draw)
        layers += [layer, phi()]
    return nn.Sequential(*layers[:-1])


def copied(model: nn.Sequential, layer: int, first: int, other: int, factor: float = 1.0) -> nn.Sequential:
    """Make row, bias and column of unit ``other`` those of unit ``first`` times ``factor``."""
    with torch.no_grad():
        for row in (model[layer].weight, model[layer].bias):
            row[other] = factor * row[first]
        model[layer + 2].weight[:, other] = factor * model[layer + 2].weight[:, first]
    return model


def lumped(seed: int = 0) -> nn.Sequential:
    """6-6-6-2 in float64: equal sums over groups of three, and otherwise random (theorem 2)."""
    model = stack(6, 6, 6, 2, seed=seed).double()
    groups = torch.eye(2, dtype=torch.float64).repeat_interleave(3, 0).repeat_interleave(3, 1) / 3
    rest = torch.eye(6, dtype=torch.float64) - groups
    with torch.no_grad():
        model[0].weight.copy_(groups @ model[0].weight)
        model[0].bias.copy_(groups @ model[0].bias)
        model[2].weight.copy_(groups @ model[2].weight @ groups + rest @ model[2].weight @ rest)
        model[2].bias.copy_(groups @ model[2].bias)
        model[4].weight.copy_(model[4].weight @ groups)
    return model


def found(model: nn.Module, batch: Any = X, loss: Any = square, target: Any = None) -> SymmetryFact:
    """The probe's answer; it must have run."""
    fact = symmetry(subject_of(model, batch, loss, target))
    assert fact.ran, fact.reason
    return fact


def units(blocks: Any, name: str) -> list[tuple[int, ...]]:
    """Units of the blocks inside one weight."""
    return sorted(block.members[0].units for block in blocks if [each.parameter for each in block.members] == [name])


def by_level(fact: SymmetryFact) -> dict[str, list[UnitBlock]]:
    """Blocks by level."""
    levels: dict[str, list[UnitBlock]] = {}
    for block in fact.blocks:
        levels.setdefault(block.level, []).append(block)
    return levels


def distinct(fact: SymmetryFact) -> dict[str, int]:
    """How many units of each weight differ."""
    return {width.parameter: width.distinct for width in fact.widths}


def trained(model: nn.Module, batch: Any, loss: Any, optimizer: Any, *, steps: int = 2) -> nn.Module:
    """A float64 copy after real optimizer steps on halves of the batch in turn."""
    model = copy.deepcopy(model).double()
    batch = batch.double() if batch.is_floating_point() else batch
    half = len(batch) // 2
    optimizer = optimizer(model.parameters())
    for step in range(steps):
        optimizer.zero_grad()
        loss(model(batch[:half] if step % 2 == 0 else batch[half:])).backward()
        optimizer.step()
    return model


def responses(model: nn.Module, place: str, batch: Any) -> Tensor:
    """[U, N] in float64: what the module at ``place`` answers, units (last axis; channels of images) first."""
    model = copy.deepcopy(model).double()
    kept: list[Tensor] = []
    model.get_submodule(place).register_forward_hook(lambda _m, _i, output: kept.append(output.detach()))
    model(batch.double() if batch.is_floating_point() else batch)
    answer = torch.cat([each.movedim(1 if each.dim() == 4 else -1, 0).flatten(1) for each in kept], 1)
    assert answer.dtype == torch.float64
    return answer


def gap(answers: Tensor, group: tuple[int, ...], factor: float = 1.0) -> float:
    """Largest relative distance of the group's responses from ``factor`` times the first one's."""
    first = answers[group[0]]
    return max(float((answers[unit] - factor * first).norm() / first.norm()) for unit in group[1:])
