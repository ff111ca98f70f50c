"""Any module as a fleet, through `torch.func`: slower than a `Program`, for networks that are no plain stack.

One network after the other: stacked by vmap they run faster, but then what becomes of one depends in its last bits on
where in the stack it stands, since products of unaligned matrices choose other code.
Shapes: M networks, P numbers of a network, T steps, B samples.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.nn import functional as F

from stepzero.lab.eager import stepped
from stepzero.lab.modules import Convolution
from stepzero.lab.observing import Seen, num_distinct
from stepzero.lab.program import ALIGNED
from stepzero.lab.task import Samples
from stepzero.lab.update import Update

_IMAGE = 4
"""Axes of an image: samples, channels, height, width."""


class Modules:
    """`M` networks of one module, their numbers in one matrix; the interface of `fleet.Fleet`."""

    def __init__(self, module: nn.Module, weights_MP: Tensor, lrs_M: Tensor, update: Update) -> None:
        self.module, self.update = module, update
        self.weights, self.lrs = weights_MP.contiguous(), lrs_M.to(weights_MP.dtype)
        self.state = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.stopped = torch.full((len(weights_MP),), -1, dtype=torch.int64)
        self.done = 0

    def train_(self, samples: Samples, steps: int, order_MTB: Tensor | None = None) -> Tensor:
        """As `fleet.Fleet.train_`."""
        losses = self.weights.new_full((len(self.weights), steps), torch.nan)
        for member in range(len(self.weights)):
            for step in range(steps):
                if self.stopped[member] >= 0:
                    break
                chosen = slice(None) if order_MTB is None else order_MTB[member, step]
                losses[member, step] = self._step_(member, samples, chosen, self.done + step)
        self.done += steps
        return losses

    def _step_(self, member: int, samples: Samples, chosen: slice | Tensor, done: int) -> Tensor:
        """One step of one network; its loss before it."""
        own = slice(member, member + 1)
        weights, state = self.weights[own], tuple(each[own] for each in self.state)

        def judged(values: dict[str, Tensor]) -> Tensor:
            output = functional_call(self.module, values, (samples.inputs[chosen],))
            return loss_of(output, samples.targets[chosen], samples.loss)

        found, value = grad_and_value(judged)(views(self.module, weights[0]))
        loss: Tensor = value
        if not loss.isfinite():
            self.stopped[member] = done
            return loss
        gradients = torch.zeros_like(weights)
        for name, view in views(self.module, gradients[0]).items():
            view.copy_(found[name])
        moved = stepped(self.update, weights, state, gradients, self.lrs[own, None], done + 1)
        for old, new in zip((weights, *state), moved, strict=True):
            old.copy_(new)
        return loss


def observe(module: nn.Module, numbers_P: Tensor, samples: Samples) -> tuple[float, Tensor, list[Seen]]:
    """Loss, output [outputs, S] and what each weighted layer shows: its units respond with what it returns."""
    values = {name: part.detach().requires_grad_() for name, part in views(module, numbers_P).items()}
    calls: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            output.retain_grad()
            calls.setdefault(name, []).append(output)

        return hook

    hooks = [each.register_forward_hook(keep(name)) for name, each in layers(module).items()]
    try:
        output = functional_call(module, values, (samples.inputs,))
    finally:
        for hook in hooks:
            hook.remove()
    loss = loss_of(output, samples.targets, samples.loss)
    loss.backward()
    return float(loss.detach()), output.detach().T, [_seen(name, values, calls[name]) for name in layers(module)]


def layers(module: nn.Module) -> dict[str, nn.Module]:
    """Layers with a weight, by name."""
    return {name: each for name, each in module.named_modules() if isinstance(each, nn.Linear | Convolution)}


def _seen(name: str, values: dict[str, Tensor], calls: list[Tensor]) -> Seen:
    W = values[f"{name}.weight"]
    bias = values.get(f"{name}.bias")
    axis = 1 if calls[0].dim() == _IMAGE else -1
    response, arrived = (
        torch.cat([part.movedim(axis, 0).flatten(1) for part in parts], 1)
        for parts in ([call.detach() for call in calls], [_gradient(call) for call in calls])
    )
    rows = W.detach() if bias is None else torch.cat([W.detach(), bias.detach()[:, None]], 1)
    width = num_distinct(response, arrived, rows)
    return Seen(name, len(W), width, None, None, float(W.detach().norm()), float(_gradient(W).norm()))


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def stride(module: nn.Module) -> int:
    """Numbers of a network, each parameter padded to whole cache lines."""
    return sum(_padded(each.numel()) for each in module.parameters())


def views(module: nn.Module, numbers: Tensor) -> dict[str, Tensor]:
    """Each parameter, by name, as a view of ``numbers`` [..., P]."""
    found, place = {}, 0
    for name, parameter in module.named_parameters():
        found[name] = numbers[..., place : place + parameter.numel()].unflatten(-1, parameter.shape)
        place += _padded(parameter.numel())
    return found


def loss_of(output: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Mean loss."""
    return F.cross_entropy(output, targets) if loss == "cross_entropy" else F.mse_loss(output, targets)


def _padded(count: int) -> int:
    return -(-count // ALIGNED) * ALIGNED
