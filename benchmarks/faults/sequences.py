"""Networks of sequences: tied, gated and raw-parameter transformers, state spaces, learned queries.

Legend: B samples, T steps, D width, H heads, K width of a head.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults.nets import Axes, draw_
from benchmarks.small import nets
from benchmarks.small.tasks import T, V


class Tied(nets.Transformer):
    """A decoder whose head is its table of symbols, started as GPT-2 is."""

    def __init__(self, width: int = 32, layers: int = 2) -> None:
        super().__init__(width, layers)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02 if isinstance(module, nn.Embedding) else width**-0.5 / 2)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        self.head = nn.Linear(width, V, bias=False)
        self.head.weight = self.symbols.weight


class EinsumAttention(nn.Module):
    """Self-attention from raw parameters [D, H, K] and [H, K, D]."""

    AXES: ClassVar[Axes] = {
        "query": ((1, 2), (0,)), "key": ((1, 2), (0,)), "value": ((1, 2), (0,)), "out": ((2,), (0, 1)),
    }  # fmt: skip

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        size = width // heads
        for name in ("query", "key", "value"):
            self.register_parameter(name, nn.Parameter(torch.empty(width, heads, size)))
            draw_(getattr(self, name), width)
        self.out = nn.Parameter(torch.empty(heads, size, width))
        draw_(self.out, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        q, k, v = (torch.einsum("btd,dhk->bhtk", x_BTD, each) for each in (self.query, self.key, self.value))
        scores = torch.einsum("bhtk,bhsk->bhts", q, k) / math.sqrt(q.shape[-1])
        future = torch.ones(x_BTD.shape[1], x_BTD.shape[1], dtype=torch.bool).triu(1)
        mixed = torch.einsum("bhts,bhsk->bhtk", scores.masked_fill(future, -torch.inf).softmax(-1), v)
        return torch.einsum("bhtk,hkd->btd", mixed, self.out)


class EinsumLayer(nn.Module):
    """Attention and a two-layer branch from raw parameters, norms in front."""

    AXES: ClassVar[Axes] = {"wide": ((1,), (0,)), "narrow": ((1,), (0,))}

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = EinsumAttention(width, heads)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide, self.narrow = (
            nn.Parameter(torch.empty(width, 4 * width)),
            nn.Parameter(torch.empty(4 * width, width)),
        )
        draw_(self.wide, width)
        draw_(self.narrow, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + torch.einsum(
            "btf,fd->btd", F.gelu(torch.einsum("btd,df->btf", self.norm2(x), self.wide)), self.narrow
        )


def einsum_transformer(width: int, layers: int) -> nn.Module:
    """Symbols through layers of raw parameters."""
    model = nets.Transformer(width, 0)
    model.layers = nn.Sequential(*[EinsumLayer(width, 4) for _ in range(layers)])
    return model


class RMSNorm(nn.Module):
    """x / rms(x) * weight; with ``is_offset`` the gain is 1 + weight, and 0 is its neutral start."""

    def __init__(self, width: int, *, is_offset: bool = False) -> None:
        super().__init__()
        self.is_offset = is_offset
        self.weight = nn.Parameter(torch.zeros(width) if is_offset else torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        scaled = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
        return scaled * (1 + self.weight if self.is_offset else self.weight)


class GatedLayer(nn.Module):
    """Separate q, k and v without biases, a gated branch, root mean square norms."""

    def __init__(self, width: int, heads: int, *, is_offset: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.v_proj, self.o_proj = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)
        self.norm1, self.norm2 = RMSNorm(width, is_offset=is_offset), RMSNorm(width, is_offset=is_offset)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        size, steps, width = y.shape
        q, k, v = (
            each(y).view(size, steps, self.heads, -1).transpose(1, 2)
            for each in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(size, steps, width)
        x = x + self.o_proj(mixed)
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def gated_transformer(width: int, layers: int, *, is_offset: bool = False) -> nn.Module:
    """Symbols through layers with gated branches."""
    model = nets.Transformer(width, 0)
    model.layers = nn.Sequential(*[GatedLayer(width, 4, is_offset=is_offset) for _ in range(layers)])
    model.norm = RMSNorm(width, is_offset=is_offset)
    return model


class StateSpace(nn.Module):
    """Diagonal linear recurrence: h <- exp(-rate) * h + (1 - exp(-rate)) * x B, rates spread over two decades."""

    AXES: ClassVar[Axes] = {"into": ((1,), (0,))}

    def __init__(self, fan_in: int, states: int) -> None:
        super().__init__()
        self.into = nn.Parameter(torch.empty(fan_in, states))
        draw_(self.into, fan_in)
        self.log_rate = nn.Parameter(torch.linspace(math.log(0.02), math.log(1.0), states))

    def forward(self, x_BTD: Tensor) -> Tensor:
        keep = torch.exp(-torch.exp(self.log_rate))
        driven = x_BTD @ self.into
        state = torch.zeros_like(driven[:, 0])
        states = []
        for step in range(x_BTD.shape[1]):
            state = keep * state + (1 - keep) * driven[:, step]
            states.append(state)
        return torch.stack(states, 1)


def state_space(width: int, states: int) -> nn.Module:
    """Series of four channels through two state spaces; the last step answers."""
    return nn.Sequential(
        nn.Linear(4, width), StateSpace(width, states), nn.Linear(states, width), nn.GELU(), nn.LayerNorm(width),
        StateSpace(width, states), Last(), nn.Linear(states, width), nn.GELU(), nn.Linear(width, 4),
    )  # fmt: skip


class Last(nn.Module):
    """The last step of a series."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1]


class Queries(nn.Module):
    """Learned queries look at the rows of a digit; all answers are averaged."""

    def __init__(self, width: int, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.stem, self.places = nn.Linear(8, width), nn.Parameter(torch.randn(T, width) * 0.5)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) + self.places[: x.shape[1]]
        q = self.q_proj(self.queries).expand(len(x), -1, -1)
        seen = F.scaled_dot_product_attention(q, self.k_proj(x), self.v_proj(x)) + self.queries
        return self.head((seen + self.mlp(seen)).mean(1))
