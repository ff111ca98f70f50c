"""Networks in which some gradient is zero, and what a real optimizer makes of them."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepzero.core.wake import ParameterWake, WakeFact
from stepzero.probe.capture import capture
from stepzero.probe.subject import subject_of
from stepzero.probe.wake import wake
from tests.probe.observing import seeded
from tests.probe.planting import X, square, stack

TOKENS = seeded(4, 5, 8)


def zeroed(model: nn.Module, *names: str) -> nn.Module:
    """Set the named parameters to zero."""
    with torch.no_grad():
        for name in names:
            model.get_parameter(name).zero_()
    return model


def only_biases(layers: int, phi: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    """Zero weights, random biases."""
    model = stack(6, *[8] * (layers - 1), 3, phi=phi)
    draw = torch.Generator().manual_seed(1)
    for layer in model[::2]:
        nn.init.zeros_(layer.weight)
        nn.init.normal_(layer.bias, std=0.5, generator=draw)
    return model


class Low(nn.Module):
    """``W x + B A x`` with W frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(6, 8).requires_grad_(False)
        self.A, self.B = nn.Parameter(seeded(2, 6) / 2), nn.Parameter(seeded(8, 2, seed=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.A.T @ self.B.T


class Gated(nn.Module):
    """``x + down(phi(gate x) * up x)`` between two layers."""

    def __init__(self, phi: Callable[[Tensor], Tensor] = F.silu) -> None:
        super().__init__()
        self.phi, self.enter, self.head = phi, nn.Linear(6, 8), nn.Linear(8, 3)
        self.gate, self.up, self.down = (nn.Linear(8, 8, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        return self.head(h + self.down(self.phi(self.gate(h)) * self.up(h)))


class Attends(nn.Module):
    """``x + attention(x)``, two heads of four."""

    def __init__(self, *, bias: bool = False) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8, bias=bias) for _ in range(4))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.head(x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))


class Rezero(nn.Module):
    """Residual blocks behind scalar gates of zero."""

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList(stack(8, 16, 8, seed=index) for index in range(blocks))
        self.alpha = nn.ParameterList(nn.Parameter(torch.zeros(())) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for alpha, block in zip(self.alpha, self.blocks, strict=True):
            h = h + alpha * block(h)
        return self.head(h)


class Routed(nn.Module):
    """Each sample goes to its best experts only."""

    def __init__(self, top: int = 1, *, is_renormalised: bool = False, experts: int = 4) -> None:
        super().__init__()
        self.top, self.is_renormalised = top, is_renormalised
        self.router = nn.Linear(6, experts)
        self.experts = nn.ModuleList(stack(6, 8, 3, seed=index) for index in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.router(x).softmax(-1).topk(self.top, -1)
        if self.is_renormalised:
            weights = weights / weights.sum(-1, keepdim=True)
        out = x.new_zeros(len(x), 3)
        for index, expert in enumerate(self.experts):
            rows, slot = (chosen == index).nonzero(as_tuple=True)
            out = out.index_add(0, rows, expert(x[rows]) * weights[rows, slot, None])
        return out


def woken(model: nn.Module, batch: Any = X, loss: Any = square, seed: int = 0) -> WakeFact:
    """The probe's answer; it must have run."""
    subject = subject_of(model, batch, loss, seed=seed)
    fact = wake(subject, capture(subject))
    assert fact.ran, fact.reason
    return fact


def by_name(fact: WakeFact) -> dict[str, ParameterWake]:
    """What was found of each parameter that is not live."""
    return {each.parameter: each for each in fact.parameters}


def delays(fact: WakeFact) -> dict[str, int | None]:
    """Step at which the last slice of each parameter wakes; None when one never does."""
    return {each.parameter: None if each.stuck else each.delay for each in fact.parameters}


def causes(fact: WakeFact) -> dict[str, str]:
    """Why those that never wake do not."""
    return {each.parameter: each.cause for each in fact.parameters if each.cause}


def learned(model: nn.Module, batch: Any = X, loss: Any = square, *, steps: int = 6) -> dict[str, int | None]:
    """Real gradient descent in float64: the step at which each parameter first has a non-zero gradient, if not 0."""
    model = copy.deepcopy(model).double()
    batch = batch.double() if batch.is_floating_point() else batch
    first: dict[str, int | None] = {name: None for name, each in model.named_parameters() if each.requires_grad}
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.3)
    for step in range(steps + 1):
        optimizer.zero_grad()
        loss(model(batch)).backward()
        for name, each in model.named_parameters():
            if each.grad is not None and bool(each.grad.any()) and first[name] is None:
                first[name] = step
        optimizer.step()
    return {name: step for name, step in first.items() if step != 0}


def gradient_after(model: nn.Module, redrawn: list[str], batch: Any = X, loss: Any = square) -> dict[str, float]:
    """Largest gradient of each parameter when some are redrawn, in float64."""
    model = copy.deepcopy(model).double()
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name in redrawn:
            parameter = model.get_parameter(name)
            parameter.copy_(torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    batch = batch.double() if batch.is_floating_point() else batch
    loss(model(batch)).backward()
    return {
        name: float(each.grad.abs().max()) if each.grad is not None else 0.0 for name, each in model.named_parameters()
    }
