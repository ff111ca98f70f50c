"""Trains one batch of networks that fit one fleet, and says what became of each."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stepzero.core.errors import ConfigError
from stepzero.lab import activations, fleet, generic, observing, program, spatial, starts, tasks
from stepzero.lab.generic import Modules
from stepzero.lab.grid import Network
from stepzero.lab.modules import MODULES
from stepzero.lab.program import Program
from stepzero.lab.spatial import Spatial
from stepzero.lab.task import Samples
from stepzero.lab.update import Update
from stepzero.schemes.seeding import generator_for

_OBSERVED = 16
"""Networks observed in one go: their activations are held in float64."""
_STRETCH = 64
"""Steps whose order of samples is held at a time."""


@dataclass(frozen=True)
class Point:
    """One network at one step."""

    step: int
    loss: float
    accuracy: float | None
    layers: tuple[observing.Seen, ...]


@dataclass(frozen=True)
class Outcome:
    """One trained network: its points from the start to the end, and the step at which its loss left the numbers."""

    network: Network
    points: tuple[Point, ...]
    stopped: int | None


def built(network: Network, samples: Samples) -> Program:
    """The program of a network."""
    inputs, outputs = samples.inputs.shape[1], tasks.num_outputs(samples)
    if network.architecture == "mlp":
        return program.mlp(inputs, [network.width] * network.depth, outputs, network.activation)
    has_norm = network.architecture == "residual_norm"
    return program.residual(inputs, network.width, network.depth, outputs, network.activation, has_norm=has_norm)


def train(networks: Sequence[Network], *, engine: str = "auto") -> list[Outcome]:
    """Train networks of one company; what becomes of one does not depend on the others."""
    first = networks[0]
    assert all(each.company == first.company for each in networks)
    samples = tasks.get(first.task)
    own = _crew(networks, samples, engine)
    points = follow(own, samples, first.measure, [each.seed for each in networks], first.batch)
    stops = [None if stop < 0 else stop for stop in own.stopped.tolist()]
    return [Outcome(*each) for each in zip(networks, points, stops, strict=True)]


def follow(
    own: fleet.Fleet | Modules, samples: Samples, measure: Sequence[int], seeds: Sequence[int] = (), batch: int = 0
) -> list[tuple[Point, ...]]:
    """Train on and observe after each of these steps; batches come in the order of each network's seed."""
    orders = {seed: _Order(seed, len(samples.inputs), batch) for seed in seeds if batch}
    points: list[list[Point]] = [[] for _ in own.lrs]
    probe = tasks.probe(samples)
    for step in measure:
        while own.done < step:
            length = min(_STRETCH, step - own.done)
            drawn = {seed: order.next(length) for seed, order in orders.items()}
            own.train_(samples, length, torch.stack([drawn[seed] for seed in seeds]) if drawn else None)
        for mine, point in zip(points, _observed(own, probe), strict=True):
            mine.append(point)
    return [tuple(each) for each in points]


def _crew(networks: Sequence[Network], samples: Samples, engine: str) -> fleet.Fleet | Modules:
    """All of them at their starts."""
    first = networks[0]
    lrs, update = torch.tensor([each.lr for each in networks]), Update(first.optimizer)
    laws: list[dict[str, Any]] = [
        {"weights": each.weights, "gain": each.gain, "biases": each.biases, "bias_scale": each.bias_scale,
         "seed": each.seed}
        for each in networks
    ]  # fmt: skip
    if first.architecture in MODULES:
        module = built_module(first, samples)
        numbers = [starts.module_start(module, first.activation, **law) for law in laws]
        made = spatial.program(module, first.activation) if fleet.has_kernel(engine) else None
        return Modules(module, torch.stack(numbers), lrs, update, program=made)
    made = built(first, samples)
    return fleet.Fleet(made, torch.stack([starts.start(made, **law) for law in laws]), lrs, update, engine=engine)


def built_module(network: Network, samples: Samples) -> Spatial:
    """The module of a network that is no program."""
    if samples.shape is None:
        raise ConfigError(
            f"key 'architectures' of a grid: {network.architecture!r} reads images or sequences, and the task "
            f"{network.task!r} is neither; such are {', '.join(tasks.SHAPES)}"
        )
    phi = activations.get(network.activation).value
    kind = MODULES[network.architecture]
    return kind(samples.shape, tasks.num_outputs(samples), network.width, network.depth, phi)


class _Order:
    """Which samples each step sees: epochs of shuffled samples, a stream of its own for each seed."""

    def __init__(self, seed: int, count: int, batch: int) -> None:
        self.generator, self.count, self.batch = generator_for(seed, "order"), count, batch
        self.left = torch.empty(0, dtype=torch.int64)

    def next(self, steps: int) -> Tensor:
        """[steps, batch] indices."""
        wanted = steps * self.batch
        while len(self.left) < wanted:
            self.left = torch.cat([self.left, torch.randperm(self.count, generator=self.generator)])
        taken, self.left = self.left[:wanted], self.left[wanted:]
        return taken.view(steps, self.batch)


def _observed(own: fleet.Fleet | Modules, probe: Samples) -> list[Point]:
    """A point of each network, in float64."""
    return _observed_modules(own, probe) if isinstance(own, Modules) else _observed_programs(own, probe)


def _observed_modules(own: Modules, probe: Samples) -> list[Point]:
    look = functools.partial(spatial.observe, own.program) if own.program else generic.observe
    points = []
    for numbers in own.weights.double():
        loss, output, found = look(own.module, numbers, probe)
        points.append(Point(own.done, loss, observing.accuracy(output, probe.targets), tuple(found)))
    return points


def _observed_programs(own: fleet.Fleet, probe: Samples) -> list[Point]:
    points = []
    for start in range(0, len(own.weights), _OBSERVED):
        numbers = own.weights[start : start + _OBSERVED].double()
        losses, *seen = fleet.observe(own.program, numbers, probe, engine=own.engine)
        for loss, mine, values, deltas, gradients in zip(losses.tolist(), numbers, *seen, strict=True):
            found = tuple(observing.layers(own.program, mine, values, deltas, gradients))
            right = observing.accuracy(values[-own.program.rows[-1] :], probe.targets)
            points.append(Point(own.done, loss, right, found))
    return points
