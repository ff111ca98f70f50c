"""Optimizers that torch does not ship, by their published update rules."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class PerTensor(torch.optim.Optimizer):
    """Calls ``update(state, gradient, value, step)`` for each tensor."""

    def __init__(self, values: Iterable[nn.Parameter], lr: float):
        super().__init__(values, {"lr": lr})
        self.count = 0

    @torch.no_grad()
    def step(self) -> None:
        self.count += 1
        for group in self.param_groups:
            for value in group["params"]:
                state = self.state[value]
                if not state:
                    state.update(first=torch.zeros_like(value), second=torch.zeros_like(value))
                value.sub_(group["lr"] * self.update(state, value.grad, value))

    def update(self, state: dict[str, Tensor], gradient: Tensor, value: Tensor) -> Tensor:
        raise NotImplementedError


class Lion(PerTensor):
    """Sign of an interpolated momentum, decoupled decay."""

    def update(self, state: dict[str, Tensor], gradient: Tensor, value: Tensor) -> Tensor:
        direction = (0.9 * state["first"] + 0.1 * gradient).sign()
        state["first"].mul_(0.99).add_(0.01 * gradient)
        return direction + 0.01 * value


class Lamb(PerTensor):
    """Adam's step, scaled to the norm of the tensor."""

    def update(self, state: dict[str, Tensor], gradient: Tensor, value: Tensor) -> Tensor:
        state["first"].mul_(0.9).add_(0.1 * gradient)
        state["second"].mul_(0.999).add_(0.001 * gradient.square())
        first, second = state["first"] / (1 - 0.9**self.count), state["second"] / (1 - 0.999**self.count)
        step = first / (second.sqrt() + 1e-6) + 0.01 * value
        return step * value.norm() / step.norm().clamp_min(1e-12)
