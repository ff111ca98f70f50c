"""Real training in float64, as short as can be: five optimizers, one fresh batch a step, all of it from one seed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

MadeOptimizer = Callable[[list[Tensor]], Optimizer]
OPTIMIZERS: dict[str, MadeOptimizer] = {
    "sgd": lambda values: SGD(values, lr=0.05),
    "momentum": lambda values: SGD(values, lr=0.01, momentum=0.9, nesterov=True),
    "adam": lambda values: Adam(values, lr=3e-3),
    "adamw": lambda values: AdamW(values, lr=3e-3, weight_decay=1e-2),
    "adam+l2": lambda values: Adam(values, lr=3e-3, weight_decay=1e-2),
}
"""Momentum is Nesterov's; ``adam+l2`` adds the decay to the gradient, AdamW to the step."""

LARGE_EPS = 1e-3
STEADY: dict[str, MadeOptimizer] = {
    "adam": lambda values: Adam(values, lr=3e-3, eps=LARGE_EPS),
    "adamw": lambda values: AdamW(values, lr=3e-3, weight_decay=1e-2, eps=LARGE_EPS),
    "adam+l2": lambda values: Adam(values, lr=3e-3, weight_decay=1e-2, eps=LARGE_EPS),
}
"""The same with an eps so large that a gradient made of rounding alone (a bias before a norm, true value zero) moves
nothing. With the usual eps, Adam multiplies a difference between two such gradients by lr / eps = 3e5 a step."""

LossOf = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Data:
    """A generated data set; every training step sees a fresh draw of ``batch`` of its samples."""

    inputs: Tensor
    targets: Tensor
    batch: int = 16

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One batch, without replacement."""
        chosen = torch.randperm(len(self.inputs), generator=generator)[: self.batch]
        return self.inputs[chosen], self.targets[chosen]


def train(
    model: nn.Module,
    data: Data,
    loss_of: LossOf,
    optimizer: MadeOptimizer,
    *,
    steps: int = 300,
    seed: int = 0,
    after: Callable[[int], None] = lambda _: None,
) -> dict[str, Tensor]:
    """Train ``model`` in place; returns the largest gradient each element of each parameter ever had.

    ``after`` is called with the number of steps done.
    """
    flat = flatten(model)
    chosen = optimizer([flat])
    generator = torch.Generator().manual_seed(seed)
    assert flat.grad is not None
    largest = torch.zeros_like(flat.grad)
    for step in range(1, steps + 1):
        inputs, targets = data.draw(generator)
        flat.grad.zero_()
        loss_of(model(inputs), targets).backward()
        torch.maximum(largest, flat.grad.abs(), out=largest)
        chosen.step()
        after(step)
    return _apart(model, largest)


def flatten(model: nn.Module) -> nn.Parameter:
    """Move all parameters and their gradients into one vector each, seen through views.

    The optimizers here act on each element by itself, so one vector is updated as many tensors would be, in a tenth
    of the time.
    """
    parameters = list(model.parameters())
    flat = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in parameters]))
    flat.grad = torch.zeros_like(flat)
    sizes = [parameter.numel() for parameter in parameters]
    parts = zip(parameters, flat.data.split(sizes), flat.grad.split(sizes), strict=True)
    for parameter, value, gradient in parts:
        parameter.data = value.view_as(parameter)
        parameter.grad = gradient.view_as(parameter)
    return flat


def _apart(model: nn.Module, vector: Tensor) -> dict[str, Tensor]:
    named = dict(model.named_parameters())
    parts = vector.split([parameter.numel() for parameter in named.values()])
    return {name: part.view_as(named[name]) for name, part in zip(named, parts, strict=True)}
