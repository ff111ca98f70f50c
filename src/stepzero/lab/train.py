"""Trains one batch of networks that fit one fleet, and says what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stepzero.lab import fleet, observing, program, starts, tasks
from stepzero.lab.grid import Network
from stepzero.lab.program import Program
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
    made = built(first, samples)
    own = fleet.Fleet(
        made,
        torch.stack([_start(made, each) for each in networks]),
        torch.tensor([each.lr for each in networks]),
        Update(first.optimizer),
        engine=engine,
    )
    points = follow(own, samples, first.measure, [each.seed for each in networks], first.batch)
    stops = [None if stop < 0 else stop for stop in own.stopped.tolist()]
    return [Outcome(*each) for each in zip(networks, points, stops, strict=True)]


def follow(
    own: fleet.Fleet, samples: Samples, measure: Sequence[int], seeds: Sequence[int] = (), batch: int = 0
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


def _start(made: Program, network: Network) -> Tensor:
    return starts.start(
        made, weights=network.weights, gain=network.gain, biases=network.biases, bias_scale=network.bias_scale,
        seed=network.seed,
    )  # fmt: skip


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


def _observed(own: fleet.Fleet, probe: Samples) -> list[Point]:
    """A point of each network, in float64."""
    points = []
    for start in range(0, len(own.weights), _OBSERVED):
        numbers = own.weights[start : start + _OBSERVED].double()
        losses, *seen = fleet.observe(own.program, numbers, probe, engine=own.engine)
        for loss, mine, values, deltas, gradients in zip(losses.tolist(), numbers, *seen, strict=True):
            found = tuple(observing.layers(own.program, mine, values, deltas, gradients))
            right = observing.accuracy(values[-own.program.rows[-1] :], probe.targets)
            points.append(Point(own.done, loss, right, found))
    return points
