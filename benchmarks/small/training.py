"""Training for a few steps, from one seed, and the loss that comes out."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.small.tasks import Task

STEPS = 200
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], float], torch.optim.Optimizer]] = {
    "momentum": lambda values, lr: torch.optim.SGD(values, lr=lr, momentum=0.9, foreach=True),
    "adam": lambda values, lr: torch.optim.Adam(values, lr=lr, foreach=True),
}


def loss_of(output: Tensor, target: Tensor) -> Tensor:
    """Cross entropy over the last axis, whatever stands before it."""
    return F.cross_entropy(output.flatten(0, -2), target.flatten())


def train(model: nn.Module, task: Task, optimizer: str, lr: float, *, seed: int, steps: int = STEPS) -> float:
    """Train in place; the loss over the whole task afterwards, infinite once it was not finite."""
    chosen = OPTIMIZERS[optimizer](list(model.parameters()), lr)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        inputs, targets = task.batch(generator)
        chosen.zero_grad()
        loss = loss_of(model(inputs), targets)
        if not math.isfinite(loss.item()):
            return math.inf
        loss.backward()
        chosen.step()
    return final_loss(model, task)


def final_loss(model: nn.Module, task: Task) -> float:
    """Loss over the whole task in the mode the model is in, infinite where it is not finite."""
    with torch.no_grad():
        loss = float(loss_of(model(task.inputs), task.targets))
    return loss if math.isfinite(loss) else math.inf
