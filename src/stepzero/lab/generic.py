"""Any module as a fleet: the kernel carries out its program where there is one (`spatial`), else plain torch does.

Plain torch takes one network after the other: stacked by vmap they run faster, but then what becomes of one depends in
its last bits on where in the stack it stands, since products of unaligned matrices choose other code.
Shapes: M networks, P numbers of a network, T steps, B samples.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.nn import functional as F

from stepzero.lab.eager import stepped
from stepzero.lab.modules import Convolution
from stepzero.lab.native import Kernel
from stepzero.lab.observing import Seen, num_distinct
from stepzero.lab.program import ALIGNED, Program
from stepzero.lab.task import Samples
from stepzero.lab.update import Update

_IMAGE = 4
"""Axes of an image: samples, channels, height, width."""


class Modules:
    """`M` networks of one module, their numbers in one matrix; the interface of `fleet.Fleet`."""

    def __init__(
        self, module: nn.Module, weights_MP: Tensor, lrs_M: Tensor, update: Update, *, program: Program | None = None
    ) -> None:
        self.module, self.update, self.program = module, update, program
        self.weights, self.lrs = weights_MP.contiguous(), lrs_M.to(weights_MP.dtype)
        self.state = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.stopped = torch.full((len(weights_MP),), -1, dtype=torch.int64)
        self.done = 0

    def train_(self, samples: Samples, steps: int, order_MTB: Tensor | None = None) -> Tensor:
        """As `fleet.Fleet.train_`."""
        if self.program is not None:
            order = None if order_MTB is None else order_MTB[:, :steps].contiguous()
            worker = Kernel(self.program, self.update, samples)
            losses = worker.train_(self.weights, self.state, self.lrs, order, steps, self.done, self.stopped)
            self.done += steps
            return losses
        return self._loop_(samples, steps, order_MTB)

    def _loop_(self, samples: Samples, steps: int, order_MTB: Tensor | None) -> Tensor:
        """One network after the other, in plain torch."""
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
    axis = 1 if calls[0].dim() == _IMAGE else -1
    response, arrived = (
        torch.cat([part.movedim(axis, 0).flatten(1) for part in parts], 1)
        for parts in ([call.detach() for call in calls], [_gradient(call) for call in calls])
    )
    own = {key: value.detach() for key, value in values.items()}
    return seen(name, own, _gradient(values[f"{name}.weight"]), response, arrived)


def seen(name: str, values: dict[str, Tensor], gradient: Tensor, response_UN: Tensor, arrived_UN: Tensor) -> Seen:
    """What a layer shows, from its units' responses and the gradients that arrive there."""
    W, bias = values[f"{name}.weight"], values.get(f"{name}.bias")
    rows = W if bias is None else torch.cat([W, bias[:, None]], 1)
    width = num_distinct(response_UN, arrived_UN, rows)
    return Seen(name, len(W), width, None, None, float(W.norm()), float(gradient.norm()))


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def stride(module: nn.Module) -> int:
    """Numbers of a network, each parameter padded to whole cache lines."""
    return sum(_padded(each.numel()) for each in module.parameters())


def offsets(module: nn.Module) -> dict[str, int]:
    """Where each parameter starts among a network's numbers."""
    sizes = {name: _padded(each.numel()) for name, each in module.named_parameters()}
    return dict(zip(sizes, itertools.accumulate(sizes.values(), initial=0), strict=False))


def views(module: nn.Module, numbers: Tensor) -> dict[str, Tensor]:
    """Each parameter, by name, as a view of ``numbers`` [..., P]."""
    parameters, starts = dict(module.named_parameters()), offsets(module)
    return {
        name: numbers[..., starts[name] : starts[name] + each.numel()].unflatten(-1, each.shape)
        for name, each in parameters.items()
    }


def loss_of(output: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Mean loss."""
    return F.cross_entropy(output, targets) if loss == "cross_entropy" else F.mse_loss(output, targets)


def _padded(count: int) -> int:
    return -(-count // ALIGNED) * ALIGNED
