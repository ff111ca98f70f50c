"""Networks beyond those of `benchmarks.small`: adapters, autoencoders, graphs, raw parameters, ensembles, state spaces.

Parts have telling names (`gate`, `up`, `lora_a`, `experts`, `router`): faults are planted by name. A module that holds
raw parameters says in ``AXES`` which axes count the units it makes and which it sums over.

Legend: B samples, N nodes, D width.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.small import nets

Axes = dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
"""Of each raw weight: the axes of its units, the axes it sums over."""


def draw_(weight: Tensor, fan_in: int, gain: float = 1.0) -> None:
    """Normal with variance gain^2 / fan_in."""
    nn.init.normal_(weight, 0.0, gain / math.sqrt(fan_in))


def grouped(width: int, groups: int, *, normed: bool) -> nn.Module:
    """Convolutions in groups, with ReLU, pointwise ones between."""
    norm = nn.BatchNorm2d if normed else lambda _: nn.Identity()
    model = nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), norm(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, groups=groups), norm(width), nn.ReLU(),
        nn.Conv2d(width, width, 1), norm(width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, groups=groups), norm(2 * width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10),
    )  # fmt: skip
    return nets.he_(model) if not normed else model


def vgg(widths: tuple[int, ...]) -> nn.Module:
    """Plain convolutions with He's law, pooled twice."""
    parts: list[nn.Module] = []
    fan_in = 1
    for index, width in enumerate(widths):
        parts += [nn.Conv2d(fan_in, width, 3, padding=1), nn.ReLU()]
        if index % 2:
            parts.append(nn.MaxPool2d(2))
        fan_in = width
    return nets.he_(nn.Sequential(*parts, nn.Flatten(), nn.Linear(fan_in * (8 // 2 ** (len(widths) // 2)) ** 2, 10)))


class NormedBlock(nn.Module):
    """A residual block with norms: relu(x + norm(conv(relu(norm(conv x)))))."""

    def __init__(self, fan_in: int, width: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(fan_in, width, 3, stride, 1, bias=False), _norm(groups, width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), _norm(groups, width)
        self.skip = nn.Sequential()
        if stride > 1 or fan_in != width:
            self.skip = nn.Sequential(nn.Conv2d(fan_in, width, 1, stride, bias=False), _norm(groups, width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.skip(x) + self.norm2(self.conv2(y)))


def _norm(groups: int, width: int) -> nn.Module:
    return nn.GroupNorm(groups, width) if groups else nn.BatchNorm2d(width)


def resnet(width: int, blocks: int, groups: int = 0) -> nn.Module:
    """Residual blocks with batch norm, or group norm when there are groups."""
    parts: list[nn.Module] = [nn.Conv2d(1, width, 3, 1, 1, bias=False), _norm(groups, width), nn.ReLU()]
    fan_in = width
    for stage in range(2):
        for block in range(blocks):
            size = width * 2**stage
            parts.append(NormedBlock(fan_in, size, 2 if stage and not block else 1, groups))
            fan_in = size
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, 10))


class LowRank(nn.Module):
    """A frozen layer plus a product of two factors, the second zero at the start."""

    def __init__(self, fan_in: int, units: int, rank: int) -> None:
        super().__init__()
        self.base = nn.Linear(fan_in, units).requires_grad_(False)
        self.lora_a, self.lora_b = nn.Linear(fan_in, rank, bias=False), nn.Linear(rank, units, bias=False)
        nn.init.zeros_(self.lora_b.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2.0 * self.lora_b(self.lora_a(x))


def adapted(width: int, rank: int, depth: int) -> nn.Module:
    """Frozen layers, each with an adapter, under a head that is trained."""
    parts: list[nn.Module] = [LowRank(64, width, rank), nn.ReLU()]
    for _ in range(depth - 1):
        parts += [LowRank(width, width, rank), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, 10))


def adapted_transformer(width: int, rank: int) -> nn.Module:
    """A frozen transformer whose outputs of attention are adapted; head and tables are trained."""
    model = nets.Transformer(width, 2)
    model.layers.requires_grad_(False)
    for layer in model.layers:
        layer.attention.out = LowRank(width, width, rank)
    return model


class Autoencoder(nn.Module):
    """A variational autoencoder of digits: what it gives back, mean and log variance of its code."""

    def __init__(self, width: int, code: int, *, is_conv: bool = False) -> None:
        super().__init__()
        self.code = code
        if is_conv:
            self.encoder = nn.Sequential(
                nn.Conv2d(1, width, 4, 2, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 4, 2, 1), nn.ReLU(), nn.Flatten(),
                nn.Linear(8 * width, 2 * code),
            )  # fmt: skip
            self.decoder = nn.Sequential(
                nn.Linear(code, 4 * width), nn.ReLU(), nn.Unflatten(1, (width, 2, 2)),
                nn.ConvTranspose2d(width, width, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(width, 1, 4, 2, 1),
            )  # fmt: skip
        else:
            self.encoder = nn.Sequential(
                nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2 * code)
            )
            self.decoder = nn.Sequential(
                nn.Linear(code, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 64)
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, -1)
        drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(drawn), mean, log_variance


class GraphLayer(nn.Module):
    """Message passing on a chain of nodes: act(x @ own + mean of the neighbours @ other + shift), raw parameters."""

    AXES: ClassVar[Axes] = {"own": ((1,), (0,)), "other": ((1,), (0,))}

    def __init__(self, fan_in: int, width: int) -> None:
        super().__init__()
        self.own, self.other = nn.Parameter(torch.empty(fan_in, width)), nn.Parameter(torch.empty(fan_in, width))
        self.shift = nn.Parameter(torch.zeros(width))
        draw_(self.own, fan_in)
        draw_(self.other, fan_in)

    def forward(self, x_BND: Tensor) -> Tensor:
        near = (x_BND.roll(1, 1) + x_BND.roll(-1, 1)) / 2
        return F.relu(x_BND @ self.own + near @ self.other + self.shift)


class Graph(nn.Module):
    """Digits as a chain of eight nodes; the nodes' mean answers."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[GraphLayer(8 if not index else width, width) for index in range(depth)])
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(1))


class Sparse(nn.Module):
    """A mixture in which each sample is answered by its two best experts, weighed by their shares."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.stem, self.router = nn.Linear(64, width), nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 24), nn.ReLU(), nn.Linear(24, width)) for _ in range(experts)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        shares, chosen = self.router(x).softmax(-1).topk(2, -1)
        answers = torch.stack([expert(x) for expert in self.experts], 1)
        best = answers.gather(1, chosen.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
        return self.head(self.norm(x + (best * shares.unsqueeze(-1)).sum(1)))


class Critics(nn.Module):
    """Two critics of the same state, as reinforcement learners keep them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q1, self.q2 = (
            nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.q1(x), self.q2(x)


class Sine(nn.Module):
    """sin(omega x)."""

    def __init__(self, omega: float) -> None:
        super().__init__()
        self.omega = omega

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.omega * x)


def waves(width: int, depth: int, omega: float = 15.0) -> nn.Module:
    """A network of sines over two coordinates, with the law of its authors."""
    parts: list[nn.Module] = [nn.Linear(2, width), Sine(omega)]
    for _ in range(depth - 1):
        parts += [nn.Linear(width, width), Sine(omega)]
    model = nn.Sequential(*parts, nn.Linear(width, 1))
    with torch.no_grad():
        for index, layer in enumerate(each for each in model if isinstance(each, nn.Linear)):
            bound = 0.5 if not index else math.sqrt(6 / width) / omega
            layer.weight.uniform_(-bound, bound)
    return model


class Scaled(nn.Module):
    """A branch behind a scalar gate that starts at zero: x + gate * branch(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.branch(x)


def scaled(width: int, blocks: int) -> nn.Module:
    """Digits through branches that start closed."""
    return nn.Sequential(nn.Linear(64, width), *[Scaled(width) for _ in range(blocks)], nn.Linear(width, 10))


class Logits(nn.Module):
    """Gives the logits of a transformers or timm model: one tensor out."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        output = self.inner(x)
        logits: Tensor = getattr(output, "logits", output)
        return logits
