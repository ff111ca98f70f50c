"""The same race for networks of images and sequences: what the fleet, a loop of plain PyTorch and vmap need a step.

The loop has PyTorch's own layers where it has them (Conv2d, RNN); vmap stacks the lab's modules.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from benchmarks.fleet.shape import BATCH, LR, OUTPUTS, SAMPLES
from benchmarks.fleet.torch_side import LOOPED, Timed
from stepzero.lab import generic, spatial
from stepzero.lab.modules import MODULES, Images, Recurrent
from stepzero.lab.task import Samples
from stepzero.lab.update import Update

SIDES = 8, 8
"""Pixels of an image; steps and features of a sequence."""
DEPTH = 2


@dataclass(frozen=True)
class Kind:
    architecture: str
    width: int
    networks: int = 64
    steps: int = 4
    """Steps in one timed stretch."""


class Setup:
    """The same samples, order and starts for all."""

    def __init__(self, kind: Kind) -> None:
        generator = torch.Generator().manual_seed(0)
        self.kind = kind
        self.x = torch.randn(SAMPLES, SIDES[0] * SIDES[1], generator=generator)
        self.y = torch.randint(0, OUTPUTS, (SAMPLES,), generator=generator)
        self.order = torch.randint(0, SAMPLES, (kind.networks, kind.steps, BATCH), generator=generator)
        self.module = MODULES[kind.architecture](SIDES, OUTPUTS, kind.width, DEPTH, torch.tanh)
        self.weights = torch.zeros(kind.networks, generic.stride(self.module))
        for view in generic.views(self.module, self.weights).values():
            view.normal_(0, view.shape[-1] ** -0.5, generator=generator)


class Elman(nn.Module):
    """PyTorch's own, with a head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body, self.head = nn.RNN(SIDES[1], width, DEPTH, batch_first=True), nn.Linear(width, OUTPUTS)

    def forward(self, x_Sd: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x_Sd.unflatten(1, SIDES))[0][:, -1])
        return out


def plain(setup: Setup, number: int) -> nn.Module:
    """One network in PyTorch's own layers, from the start the fleet gives it."""
    width = setup.kind.width
    values = generic.views(setup.module, setup.weights[number])
    if isinstance(setup.module, Recurrent):
        made: nn.Module = Elman(width)
        for layer in range(DEPTH):
            values[f"body.weight_ih_l{layer}"] = values.pop(f"body.{layer}.weight")
            values[f"body.bias_ih_l{layer}"] = values.pop(f"body.{layer}.bias")
            values[f"body.weight_hh_l{layer}"] = values.pop(f"back.{layer}.weight")
            values[f"body.bias_hh_l{layer}"] = torch.zeros(width)
    else:
        made = MODULES[setup.kind.architecture](SIDES, OUTPUTS, width, DEPTH, torch.tanh)
        if isinstance(made, Images):
            made.body = nn.ModuleList(nn.Conv2d(width if layer else 1, width, 3, padding=1) for layer in range(DEPTH))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(values[name].reshape(parameter.shape))
    return made


def loop(setup: Setup) -> Timed:
    models = [plain(setup, number) for number in range(min(LOOPED, setup.kind.networks))]
    optimizers = [torch.optim.SGD(model.parameters(), lr=LR) for model in models]

    def run() -> float:
        start = time.perf_counter()
        for number, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            for step in range(setup.kind.steps):
                chosen = setup.order[number, step]
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(setup.x[chosen]), setup.y[chosen]).backward()
                optimizer.step()
        return (time.perf_counter() - start) / setup.kind.steps / len(models)

    return run


def vmapped(setup: Setup) -> Timed:
    values = {name: each.clone() for name, each in generic.views(setup.module, setup.weights).items()}

    def loss(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(setup.module, own, (x,)), y)

    gradient = vmap(grad(loss))

    def run() -> float:
        start = time.perf_counter()
        with torch.no_grad():
            for step in range(setup.kind.steps):
                chosen = setup.order[:, step]
                for name, g in gradient(values, setup.x[chosen], setup.y[chosen]).items():
                    values[name].sub_(g, alpha=LR)
        return (time.perf_counter() - start) / setup.kind.steps / setup.kind.networks

    return run


def fleet(setup: Setup) -> Timed:
    made = spatial.program(setup.module, "tanh")
    lrs = torch.full((setup.kind.networks,), LR)
    own = generic.Modules(setup.module, setup.weights.clone(), lrs, Update("sgd"), program=made)
    samples = Samples(setup.x, setup.y)

    def run() -> float:
        start = time.perf_counter()
        own.train_(samples, setup.kind.steps, setup.order)
        return (time.perf_counter() - start) / setup.kind.steps / setup.kind.networks

    return run


CONTENDERS: dict[str, Callable[[Setup], Timed]] = {"fleet": fleet, "loop": loop, "vmap": vmapped}


def row(kind: Kind, rounds: int) -> dict[str, object]:
    """Median rate of the fleet and its ratios; all take turns, after one round to warm up."""
    setup = Setup(kind)
    runs = {name: make(setup) for name, make in CONTENDERS.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            times[name].append(run())
    seconds = {name: statistics.median(each[1:]) for name, each in times.items()}
    own = seconds["fleet"]
    return {
        "architecture": kind.architecture, "width": kind.width, "depth": DEPTH, "networks": kind.networks,
        "steps_per_second": round(1 / own), "loop_steps_per_second": round(1 / seconds["loop"]),
        "times_loop": round(seconds["loop"] / own, 2), "times_vmap": round(seconds["vmap"] / own, 2),
    }  # fmt: skip
