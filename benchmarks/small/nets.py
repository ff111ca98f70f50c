"""Small networks of the kinds in use, with the initialisation torch gives them.

Parts have telling names (`gate`, `up`, `experts`, `norm`), since faults are planted by name.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.small.tasks import T, V

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "sigmoid": nn.Sigmoid,
}  # fmt: skip


def plain(width: int, depth: int, activation: str, inputs: int = 64, classes: int = 10) -> nn.Module:
    """An MLP of ``depth`` hidden layers without norms."""
    sizes = [inputs, *[width] * depth]
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


def convolutional(width: int, *, normed: bool = False) -> nn.Module:
    """Three convolutions with ReLU, the middle one depthwise and pointwise, average, head."""
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d if normed else lambda _: nn.Identity()
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), norm(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, groups=width), nn.Conv2d(width, 2 * width, 1), norm(2 * width), nn.ReLU(),
        nn.Conv2d(2 * width, width, 3, stride=2), norm(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip


class Block(nn.Module):
    """A residual block without norm: x + conv(relu(conv(x)))."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(fan_in, width, 3, stride, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        same = stride == 1 and fan_in == width
        self.skip = nn.Identity() if same else nn.Conv2d(fan_in, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.second(F.relu(self.first(x))))


def residual(width: int, blocks: int) -> nn.Module:
    """A residual network for 8 x 8 images: three stages of ``blocks`` blocks, 6 * blocks + 2 layers, no norm."""
    parts: list[nn.Module] = [nn.Conv2d(1, width, 3, 1, 1), nn.ReLU()]
    fan_in = width
    for stage in range(3):
        for block in range(blocks):
            size = width * 2**stage
            parts.append(Block(fan_in, size, 2 if stage and not block else 1))
            fan_in = size
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, 10))


class Attention(nn.Module):
    """Causal self-attention with a packed projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.packed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        size, steps, width = x.shape
        parts = self.packed(x).view(size, steps, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = parts[0] @ parts[1].transpose(-1, -2) * (width // self.heads) ** -0.5
        future = torch.ones(steps, steps, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ parts[2]
        return self.out(mixed.transpose(1, 2).reshape(size, steps, width))


class Layer(nn.Module):
    """One transformer layer, with its norms before the branches or behind the additions."""

    def __init__(self, width: int, heads: int, *, norm_first: bool) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_first:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


class Transformer(nn.Module):
    """Symbols in, a guess of the next one out at every step."""

    def __init__(self, width: int = 32, layers: int = 2, *, norm_first: bool = True) -> None:
        super().__init__()
        self.symbols, self.places = nn.Embedding(V, width), nn.Embedding(T, width)
        self.layers = nn.Sequential(*[Layer(width, 4, norm_first=norm_first) for _ in range(layers)])
        self.norm = nn.LayerNorm(width) if norm_first else nn.Identity()
        self.head = nn.Linear(width, V)

    def forward(self, symbols: Tensor) -> Tensor:
        x = self.symbols(symbols) + self.places(torch.arange(symbols.shape[1]))
        return self.head(self.norm(self.layers(x)))


class Recurrent(nn.Module):
    """An LSTM or GRU that reads a sequence of symbols or of rows and answers at its end."""

    def __init__(self, kind: str, width: int = 32, features: int | None = None, classes: int = V) -> None:
        super().__init__()
        self.table = nn.Embedding(V, 16) if features is None else nn.Identity()
        cell: Any = nn.LSTM if kind == "lstm" else nn.GRU
        self.cell = cell(features or 16, width, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(self.table(x))[0][:, -1])


class Gated(nn.Module):
    """A residual branch that is a product: down(silu(gate x) * up x), behind a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate, self.up = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def gated(width: int, blocks: int) -> nn.Module:
    """Digits through gated blocks."""
    return nn.Sequential(nn.Linear(64, width), *[Gated(width) for _ in range(blocks)], nn.Linear(width, 10))


class Product(nn.Module):
    """A product without a skip: what both factors say, multiplied."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.up, self.head = nn.Linear(64, width), nn.Linear(64, width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.gate(x)) * self.up(x))


class Mixture(nn.Module):
    """A router's softmax weighs the answers of small experts."""

    def __init__(self, width: int, experts: int = 4) -> None:
        super().__init__()
        self.stem, self.router = nn.Linear(64, width), nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, width)) for _ in range(experts)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        shares = self.router(x).softmax(-1)
        answers = torch.stack([expert(x) for expert in self.experts], -1)
        return self.head((answers * shares.unsqueeze(-2)).sum(-1))


def he_(model: nn.Module) -> nn.Module:
    """Kaiming normal for every weight of more than one axis, last weight of each branch shrunk; biases zero."""
    branches = sum(isinstance(module, Block) for module in model.modules())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
                parameter.mul_(1 / math.sqrt(branches) if "second" in name else 1.0)
            else:
                parameter.zero_()
    return model
