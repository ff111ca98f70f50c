"""Two starts that are learnt from data, from their formulas alone: GradInit and MetaInit.

Both keep the direction of every weight and learn its norm. What they cost is counted in forward passes: a backward
pass costs two, and differentiating a computation costs twice what was computed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.small.tasks import BATCH, Task
from benchmarks.small.training import loss_of

FORWARD, GRADIENT = 1, 3
"""A forward; a forward and its backward."""
GRADINIT_STEP = 3 * GRADIENT + 3 * FORWARD
"""The gradient and the loss after a step on it, and the derivative of both."""
METAINIT_STEP = 3 * (3 * GRADIENT)
"""The gradient, its product with the Hessian (twice the gradient more), and the derivative of both."""


def gradinit(
    model: nn.Module, task: Task, *, optimizer: str, seed: int,
    steps: int = 390, rate: float = 1e-2, bound: float = 0.01,
) -> int:  # fmt: skip
    """Scales that make the loss after one step as small as they can, while the gradient stays bounded.

    min over scales s of L(s W - eta A(g)), subject to ||g|| <= gamma; A is the optimizer's step: g / ||g||_2 for
    gradient descent, sign(g) for Adam, where the norm is that of A's dual. Where the bound is broken, ||g|| is
    lowered instead. Adam on the scales, which stay above ``bound``. The step is measured on a batch of which half
    belongs to the batch that gave the gradient.

    Returns:
        What it cost, in forward passes.

    Reference: Zhu et al. 2021, arXiv 2102.08098, algorithm 1.
    """
    is_adam = optimizer == "adam"
    eta = 1e-3 if is_adam else 0.1
    gamma = 0.1 / eta  # the loss may fall by 0.1 to first order, which is the paper's choice for gradient descent
    fixed = {name: value.detach().clone() for name, value in model.named_parameters()}
    names = [name for name, value in fixed.items() if float(value.norm())]
    scales = {name: torch.ones((), requires_grad=True) for name in names}
    learner = torch.optim.Adam(scales.values(), lr=rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        inputs, targets = task.batch(generator, 3 * BATCH // 2)
        own = {
            name: value * scales[name] if name in scales else value.requires_grad_() for name, value in fixed.items()
        }
        loss = loss_of(functional_call(model, own, (inputs[:BATCH],)), targets[:BATCH])
        slopes = dict(zip(own, torch.autograd.grad(loss, list(own.values()), create_graph=True), strict=True))
        flat = torch.cat([slope.flatten() for slope in slopes.values()])
        size = flat.abs().sum() if is_adam else flat.norm()
        if float(size.detach()) > gamma:
            objective = size
        else:
            moved = {name: value - eta * _direction(slopes[name], size, is_adam=is_adam) for name, value in own.items()}
            objective = loss_of(functional_call(model, moved, (inputs[BATCH // 2 :],)), targets[BATCH // 2 :])
        for scale, slope in zip(scales.values(), torch.autograd.grad(objective, list(scales.values())), strict=True):
            scale.grad = slope
        learner.step()
        with torch.no_grad():
            for scale in scales.values():
                scale.clamp_(min=bound)
    _write(model, {name: fixed[name] * scale.detach() for name, scale in scales.items()})
    return steps * GRADINIT_STEP


def _direction(slope: Tensor, size: Tensor, *, is_adam: bool) -> Tensor:
    return slope.sign() if is_adam else slope / size


def metainit(
    model: nn.Module, task: Task, *, seed: int, steps: int = 100, rate: float = 0.1, momentum: float = 0.9,
) -> int:  # fmt: skip
    """Norms that make the gradient change as little as it can over the step it asks for.

    min over the norms of the weights of the gradient quotient, the mean over all entries of
    |(g - H g) / (g + eps sign g) - 1|, eps = 1e-5, by signed descent with momentum on the norms, none of
    which falls below a hundredth of what it was. Inputs are normal and
    targets random: the method sees no data. Biases are set to zero.

    Returns:
        What it cost, in forward passes.

    Reference: Dauphin & Schoenholz 2019, NeurIPS, MetaInit.
    """
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() < 2:
                value.zero_()
    learnt = [value for value in model.parameters() if value.dim() > 1 and float(value.detach().norm())]
    speeds = [0.0] * len(learnt)
    floors = [1e-2 * float(value.detach().norm()) for value in learnt]
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        inputs, targets = _made_up(task, generator)
        slopes = torch.autograd.grad(loss_of(model(inputs), targets), learnt, create_graph=True)
        half = sum(slope.square().sum() for slope in slopes) / 2
        products = torch.autograd.grad(half, learnt, create_graph=True)
        quotient = _quotient(slopes, products)
        for place, (value, slope) in enumerate(zip(learnt, torch.autograd.grad(quotient, learnt), strict=True)):
            norm = float(value.detach().norm())
            along = float((slope * value.detach()).sum()) / norm
            speeds[place] = momentum * speeds[place] - rate * ((along > 0) - (along < 0))
            with torch.no_grad():
                value.mul_(max(norm + speeds[place], floors[place]) / norm)
    return steps * METAINIT_STEP


def _quotient(slopes: tuple[Tensor, ...], products: tuple[Tensor, ...]) -> Tensor:
    total = torch.zeros(())
    for slope, product in zip(slopes, products, strict=True):
        sign = torch.where(slope.detach() >= 0, 1.0, -1.0)
        total = total + ((slope - product) / (slope + 1e-5 * sign) - 1).abs().sum()
    return total / sum(slope.numel() for slope in slopes)


def _made_up(task: Task, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    inputs, targets = task.batch(generator)
    if inputs.is_floating_point():
        inputs = torch.randn(inputs.shape, generator=generator)
    else:
        inputs = torch.randint(task.classes, inputs.shape, generator=generator)
    return inputs, torch.randint(task.classes, targets.shape, generator=generator)


def _write(model: nn.Module, values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:
                parameter.copy_(values[name])


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Recurrent operations that can be differentiated twice."""
    with torch.backends.mkldnn.flags(enabled=False):
        yield
