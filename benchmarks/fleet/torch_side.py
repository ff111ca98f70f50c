"""The three that run on torch: a loop over networks, torch.func's vmap as its tutorial has it, and the fleet."""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.fleet.shape import BATCH, INPUTS, LR, OUTPUTS, SAMPLES, Shape
from stepzero.lab import program
from stepzero.lab.fleet import Fleet
from stepzero.lab.task import Samples
from stepzero.lab.update import Update

LOOPED = 8
"""Networks the loop really trains: its time a network does not depend on how many follow."""
Timed = Callable[[], float]
"""Trains for one stretch and returns seconds a network-step."""


class Setup:
    """The same samples and order for all, and networks of one shape."""

    def __init__(self, shape: Shape) -> None:
        generator = torch.Generator().manual_seed(0)
        self.shape = shape
        self.x = torch.randn(SAMPLES, INPUTS, generator=generator)
        self.y = torch.randint(0, OUTPUTS, (SAMPLES,), generator=generator)
        self.order = torch.randint(0, SAMPLES, (shape.networks, shape.steps, BATCH), generator=generator)

    def models(self, count: int) -> list[nn.Module]:
        torch.manual_seed(0)
        return [_model(self.shape) for _ in range(count)]


def _model(shape: Shape) -> nn.Module:
    layers: list[nn.Module] = []
    for columns, rows in zip(shape.dims, shape.dims[1:], strict=False):
        layers += [nn.Linear(columns, rows), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def loop(setup: Setup) -> Timed:
    models = setup.models(LOOPED)
    optimizers = [torch.optim.SGD(model.parameters(), lr=LR) for model in models]

    def run() -> float:
        start = time.perf_counter()
        for number, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            for step in range(setup.shape.steps):
                chosen = setup.order[number, step]
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(setup.x[chosen]), setup.y[chosen]).backward()
                optimizer.step()
        return (time.perf_counter() - start) / setup.shape.steps / LOOPED

    return run


def vmapped(setup: Setup) -> Timed:
    models = setup.models(setup.shape.networks)
    values, buffers = stack_module_state(models)
    skeleton = models[0].to("meta")

    def loss(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(skeleton, (own, buffers), (x,)), y)

    gradient = vmap(grad(loss))

    def run() -> float:
        start = time.perf_counter()
        with torch.no_grad():
            for step in range(setup.shape.steps):
                chosen = setup.order[:, step]
                for name, g in gradient(values, setup.x[chosen], setup.y[chosen]).items():
                    values[name].sub_(g, alpha=LR)
        return (time.perf_counter() - start) / setup.shape.steps / setup.shape.networks

    return run


def fleet(setup: Setup) -> Timed:
    shape = setup.shape
    built = program.mlp(INPUTS, [shape.width] * shape.depth, OUTPUTS, "tanh")
    weights = torch.zeros(shape.networks, built.stride)
    for number, model in enumerate(setup.models(shape.networks)):
        weights[number, : built.used] = torch.cat([each.detach().flatten() for each in model.parameters()])
    own = Fleet(built, weights, torch.full((shape.networks,), LR), Update("sgd"))
    samples = Samples(setup.x, setup.y)

    def run() -> float:
        start = time.perf_counter()
        own.train_(samples, shape.steps, setup.order)
        return (time.perf_counter() - start) / shape.steps / shape.networks

    return run


def products(setup: Setup) -> Timed:
    """Batched products of the same sizes and number as one step needs, and nothing else."""
    shape, pairs = setup.shape, []
    for columns, rows in zip(shape.dims, shape.dims[1:], strict=False):
        W, h = torch.randn(shape.networks, rows, columns), torch.randn(shape.networks, BATCH, columns)
        d = torch.randn(shape.networks, BATCH, rows)
        pairs += [(h, W.transpose(1, 2)), (d.transpose(1, 2), h)] + ([(d, W)] if pairs else [])

    def run() -> float:
        start = time.perf_counter()
        for left, right in pairs:
            torch.bmm(left, right)
        return (time.perf_counter() - start) / shape.networks

    return run


CONTENDERS: dict[str, Callable[[Setup], Timed]] = {
    "fleet": fleet,
    "loop": loop,
    "vmap": vmapped,
    "products": products,
}
