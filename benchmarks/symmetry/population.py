"""The population: from a seed, a small random network with one planted kind of start, its data and its loss.

from benchmarks.symmetry.population import case
model, batch, loss = case(17).subject()
"""

import copy
from dataclasses import dataclass
from functools import cache
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.symmetry.nets import CLASSES, FAMILIES, Net
from benchmarks.symmetry.plants import KINDS, Group
from benchmarks.symmetry.training import Data, LossOf

SAMPLES = 256
PAIRS = 4
"""Pairs of units drawn at random from each network, beside those planted."""


@dataclass(frozen=True)
class Loss:
    """The loss of one batch, as `stepzero.trace` takes it."""

    of: LossOf
    targets: Tensor

    def __call__(self, output: Tensor) -> Tensor:
        return self.of(output, self.targets)


@dataclass(frozen=True)
class Case:
    """One member of the population."""

    seed: int
    family: str
    kind: str
    about: str
    model: nn.Module
    data: Data
    loss_of: LossOf
    planted: tuple[Group, ...]
    drawn: tuple[Group, ...]
    """Random pairs of units that no plant tied."""

    @property
    def name(self) -> str:
        """Seed, family and plant in one line."""
        return f"{self.seed} {self.family} ({self.about}): {self.kind}"

    def subject(self) -> tuple[nn.Module, Tensor, Loss]:
        """A fresh copy of the model, one batch, and its loss."""
        inputs, targets = self.data.draw(torch.Generator().manual_seed(self.seed))
        return copy.deepcopy(self.model), inputs, Loss(self.loss_of, targets)

    @property
    def probe_inputs(self) -> Tensor:
        """Inputs on which responses are compared."""
        return self.data.inputs[:64]


@cache
def combinations() -> tuple[tuple[str, str], ...]:
    """Every (family, kind) that can occur, in a fixed shuffled order."""
    found = set()
    for family, build in FAMILIES.items():
        for seed in range(40):
            with torch.random.fork_rng():
                net = build(Random(seed))
            found |= {(family, kind) for kind in KINDS if KINDS[kind].spaces(net)}
    return tuple(Random(0).sample(sorted(found), len(found)))


def case(seed: int) -> Case:
    """The member of the population that belongs to ``seed``: combinations take turns, all else is drawn."""
    listed = combinations()
    family, kind = listed[seed % len(listed)]
    random = Random(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = _net(family, kind, random)
        _enliven_(net.model)
        space = random.choice(KINDS[kind].spaces(net))
        planted = KINDS[kind].plant(net, space, random)
        data, loss_of = _task(net, random)
    planted = [group for group in planted if len(group.units) > 1]
    about = f"{net.about}; at {space.name}"
    return Case(seed, family, kind, about, net.model, data, loss_of, tuple(planted), _drawn(net, planted, random))


def _net(family: str, kind: str, random: Random) -> Net:
    """Draw networks of the family until one can carry the plant."""
    while True:
        net = FAMILIES[family](random)
        if KINDS[kind].spaces(net):
            return net


@torch.no_grad()
def _enliven_(model: nn.Module) -> None:
    """To float64, norms off their identity, so that no two units are alike by default."""
    model.double()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm):
            module.weight.add_(0.2 * torch.randn_like(module.weight))
            module.bias.add_(0.1 * torch.randn_like(module.bias))


def _task(net: Net, random: Random) -> tuple[Data, LossOf]:
    """Inputs, and what a random two-layer teacher says of them: classes or numbers."""
    inputs = torch.randn(SAMPLES, *net.shape, dtype=torch.float64)
    flat = inputs.flatten(1)
    first, second = torch.randn(flat.shape[1], 16).double(), torch.randn(16, CLASSES).double() / 4
    says = torch.tanh(flat @ first / flat.shape[1] ** 0.5) @ second
    if random.random() < 0.5:
        return Data(inputs, says.argmax(1)), F.cross_entropy
    return Data(inputs, says), F.mse_loss


def _drawn(net: Net, planted: list[Group], random: Random) -> tuple[Group, ...]:
    """Random pairs of units of one weight, at most one of each pair planted in one group."""
    tied = [group.members for group in planted]
    weights = [(slot, space) for space in net.spaces for slot in space.rows if slot.responds]
    pairs = []
    for _ in range(PAIRS):
        slot, space = random.choice(weights)
        total = slot.repeat * space.units * slot.responds
        pair = tuple((slot.parameter, unit) for unit in random.sample(range(total), 2))
        if not any(set(pair) <= members for members in tied):
            pairs.append(Group(pair, (1.0, 1.0)))
    return tuple(pairs)
