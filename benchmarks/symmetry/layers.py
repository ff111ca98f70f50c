"""Layers the population is built of; each one's output holds the responses of its weight's units."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {
    "tanh": torch.tanh,
    "softsign": F.softsign,
    "sin": torch.sin,
    "relu": F.relu,
    "leaky": lambda z: F.leaky_relu(z, 0.1),
    "gelu": F.gelu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
}
ODD = frozenset(["tanh", "softsign", "sin"])
HOMOGENEOUS = frozenset(["relu", "leaky"])


class Act(nn.Module):
    """An activation by name, called as a function."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, z: Tensor) -> Tensor:
        return ACTIVATIONS[self.name](z)


class Transposed(nn.Module):
    """``x @ W + b`` with W as [inputs, units]: the units are on the last axis."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, units) / math.sqrt(inputs))
        self.bias = nn.Parameter(0.1 * torch.randn(units))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class ExpertLinear(nn.Module):
    """One product for all experts: [E, B, inputs] to [E, B, units]."""

    def __init__(self, experts: int, inputs: int, units: int, *, by_einsum: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(experts, inputs, units) / math.sqrt(inputs))
        self.bias = nn.Parameter(0.1 * torch.randn(experts, 1, units))
        self.by_einsum = by_einsum

    def forward(self, x: Tensor) -> Tensor:
        if self.by_einsum:
            return torch.einsum("ebi,eio->ebo", x, self.weight) + self.bias
        return torch.baddbmm(self.bias, x, self.weight)


class BatchedExperts(nn.Module):
    """All experts see all samples; their outputs come back as [E, B, D]."""

    def __init__(self, experts: int, width: int, hidden: int, act: str, *, by_einsum: bool):
        super().__init__()
        self.experts = experts
        self.up = ExpertLinear(experts, width, hidden, by_einsum=by_einsum)
        self.act = Act(act)
        self.down = ExpertLinear(experts, hidden, width, by_einsum=by_einsum)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x.expand(self.experts, *x.shape))))


class ListedExperts(nn.ModuleList):
    """The same as a list of modules."""

    def __init__(self, experts: int, width: int, hidden: int, act: str):
        super().__init__(
            nn.Sequential(nn.Linear(width, hidden), Act(act), nn.Linear(hidden, width)) for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([expert(x) for expert in self])


class SoftMixture(nn.Module):
    """Every expert weighed by a softmax of its router score."""

    def __init__(self, width: int, experts: nn.Module, count: int):
        super().__init__()
        self.router = nn.Linear(width, count, bias=False)
        self.experts = experts

    def forward(self, x: Tensor) -> Tensor:
        share = self.router(x).softmax(-1)
        return torch.einsum("be,ebd->bd", share, self.experts(x))


class Attention(nn.Module):
    """Heads of self-attention, with three projections or one packed one, fused or written out."""

    def __init__(self, width: int, heads: int, *, is_packed: bool, is_fused: bool):
        super().__init__()
        self.heads, self.is_packed, self.is_fused = heads, is_packed, is_fused
        if is_packed:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).chunk(3, dim=-1) if self.is_packed else (self.q(x), self.k(x), self.v(x))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        if self.is_fused:
            seen = F.scaled_dot_product_attention(q, k, v)
        else:
            seen = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
        return self.out(seen.transpose(1, 2).flatten(-2))


class Residual(nn.Module):
    """``x + body(x)``."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Gated(nn.Module):
    """``down(act(gate x) * up x)``."""

    def __init__(self, inputs: int, hidden: int, outputs: int, act: str):
        super().__init__()
        self.gate, self.up = nn.Linear(inputs, hidden), nn.Linear(inputs, hidden, bias=False)
        self.down, self.act = nn.Linear(hidden, outputs), Act(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.gate(x)) * self.up(x))


class Recurrent(nn.Module):
    """``h = act(W x_t + U h)``; the last state comes back."""

    def __init__(self, inputs: int, width: int, act: str):
        super().__init__()
        self.read, self.keep = nn.Linear(inputs, width), nn.Linear(width, width, bias=False)
        self.act = Act(act)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), self.keep.in_features)
        for moment in x.unbind(1):
            state = self.act(self.read(moment) + self.keep(state))
        return state


class MeanOver(nn.Module):
    """Mean over the given axes."""

    def __init__(self, *axes: int):
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.axes)
