"""Units, layers and modules that are copies, and those that only look alike."""

import copy

import torch
from torch import Tensor, nn

from tests.rules.pairs.pair import (
    Attention,
    Fault,
    Make,
    Pair,
    Residual,
    Sound,
    adam,
    cross_entropy,
    language,
    plain,
    sgd,
    square,
)


def edited(change, *widths: int, phi=nn.Tanh) -> Make:
    """A plain network 32-``widths``-4 after ``change(model)``."""

    def make():
        model = plain(32, *widths, 4, phi=phi)
        with torch.no_grad():
            change(model)
        return model, torch.randn(64, 32), cross_entropy(64, 4)

    return make


def widened(model: nn.Sequential) -> None:
    """The second half of hidden layer 1 copies the first, rows and halved columns."""
    first, second = model[0].weight, model[2].weight
    half = first.shape[0] // 2
    first[half:] = first[:half]
    second[:, half:] = second[:, :half]


def zero_branch():
    branch = plain(32, 64, 32, phi=nn.Tanh)
    nn.init.zeros_(branch[2].weight)
    return nn.Sequential(nn.Linear(16, 32), Residual(branch), nn.Linear(32, 4)), torch.randn(64, 16), square


def lumped(model: nn.Sequential) -> None:
    """Blocks of three: rows of layer 1 and columns of layer 3 equal, the middle has equal sums and different rows."""
    first, middle, last = (model[index].weight for index in (0, 2, 4))
    first.copy_(first[::3].repeat_interleave(3, 0))
    last.copy_(last[:, ::3].repeat_interleave(3, 1))
    blocks = middle.unflatten(0, (-1, 3)).unflatten(2, (-1, 3))  # [A, 3, C, 3]
    centred = blocks - blocks.mean(1, keepdim=True) - blocks.mean(3, keepdim=True) + 2 * blocks.mean((1, 3), True)
    middle.copy_(centred.reshape(middle.shape))


def nothing(model: nn.Sequential) -> None:
    """Leave the draw as it is."""


def zero_head(model: nn.Sequential) -> None:
    model[-1].weight.zero_()


def mirrored(sign: float):
    """Half of hidden layer 1 has the negated rows of the other half; ``sign`` times its columns."""

    def change(model: nn.Sequential) -> None:
        first, second = model[0].weight, model[2].weight
        half = first.shape[0] // 2
        first[half:] = -first[:half]
        second[:, half:] = sign * second[:, :half]

    return change


def proportional(model: nn.Sequential) -> None:
    """A quarter of hidden layer 1 is three times another quarter, rows and columns."""
    first, second = model[0].weight, model[2].weight
    quarter = first.shape[0] // 4
    first[:quarter] = 3.0 * first[quarter : 2 * quarter]
    second[:, :quarter] = 3.0 * second[:, quarter : 2 * quarter]
    second /= 5.0  # as loud as before


class Critics(nn.Module):
    """Two value networks of one state; the second a copy, a frozen copy, or the first called again."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.one = plain(16, 64, 64, 1)
        self.two = self.one if kind == "again" else copy.deepcopy(self.one)
        if kind == "frozen":
            self.two.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.two(x)], 1)


class Experts(nn.Module):
    """Four copies of one expert, mixed by a router: equal weights for all, or rows of its own for each."""

    def __init__(self, *, distinct: bool) -> None:
        super().__init__()
        self.router = nn.Linear(32, 4, bias=False)
        expert = plain(32, 64, 32)
        self.experts = nn.ModuleList(copy.deepcopy(expert) for _ in range(4))
        self.head = nn.Linear(32, 4)
        if not distinct:
            nn.init.zeros_(self.router.weight)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.router(x).softmax(-1)
        mixed = torch.stack([expert(x) for expert in self.experts], 1)
        return self.head(x + (weights[..., None] * mixed).sum(1))


def critics(kind: str) -> Make:
    return lambda: (Critics(kind), torch.randn(64, 16), square)


def experts(*, distinct: bool) -> Make:
    return lambda: (Experts(distinct=distinct), torch.randn(64, 32), cross_entropy(64, 4))


def stacked(*, cloned: bool) -> Make:
    def make():
        def block():
            return nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)

        first = block()
        layers = [copy.deepcopy(first) if cloned else block() for _ in range(3)]
        model = nn.Sequential(nn.Embedding(64, 32), *layers, nn.LayerNorm(32), nn.Linear(32, 64, bias=False))
        nn.init.normal_(model[-1].weight, std=0.02)
        return language(model)

    return make


class Queries(nn.Module):
    """Learned queries read a memory by cross attention and are pooled as a set."""

    def __init__(self, *, has_places: bool) -> None:
        super().__init__()
        self.content = nn.Parameter(torch.zeros(8, 32) if has_places else torch.randn(1, 32).repeat(8, 1))
        self.places = nn.Parameter(torch.randn(8, 32)) if has_places else None
        self.read = nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm, self.change, self.head = nn.LayerNorm(32), plain(32, 64, 32), nn.Linear(32, 4)

    def forward(self, memory_BTD: Tensor) -> Tensor:
        queries = self.content if self.places is None else self.content + self.places
        queries = queries.expand(memory_BTD.shape[0], -1, -1)
        slots = self.norm(queries + self.read(queries, memory_BTD, memory_BTD)[0])
        return self.head(self.norm(slots + self.change(slots))).amax(1)


def queries(*, has_places: bool) -> Make:
    return lambda: (Queries(has_places=has_places), torch.randn(64, 10, 32), cross_entropy(64, 4))


def copied_heads():
    """Every head of an attention is a copy of the first: rows of q, k, v and columns of out."""
    mixing = Attention(32, 4)
    with torch.no_grad():
        for layer in (mixing.q, mixing.k, mixing.v):
            layer.weight.copy_(layer.weight[:8].repeat(4, 1))
            layer.bias.zero_()
        mixing.out.weight.copy_(mixing.out.weight[:, :8].repeat(1, 4))
    change = nn.Sequential(nn.LayerNorm(32), mixing)
    return language(nn.Sequential(nn.Embedding(64, 32), Residual(change), nn.LayerNorm(32), nn.Linear(32, 64)))


class Sampling(nn.Module):
    """Sampling heads on a line: each looks at one offset from its position, weighted by a softmax over points."""

    def __init__(self, *, has_grid: bool, heads: int = 4, points: int = 2) -> None:
        super().__init__()
        self.heads, self.points = heads, points
        self.offset, self.weigh = nn.Linear(32, heads * points), nn.Linear(32, heads * points)
        self.value, self.out, self.head = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 4)
        for layer in (self.offset, self.weigh):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            if has_grid:
                self.offset.bias.copy_(torch.linspace(-2.3, 2.3, heads * points))
            else:
                for layer in (self.value,):
                    layer.weight.copy_(layer.weight[: 32 // heads].repeat(heads, 1))
                    layer.bias.zero_()
                self.out.weight.copy_(self.out.weight[:, : 32 // heads].repeat(1, heads))

    def forward(self, x_BTD: Tensor) -> Tensor:
        batch, length, _ = x_BTD.shape
        shape = (batch, length, self.heads, self.points)
        places = torch.arange(length)[None, :, None, None] + self.offset(x_BTD).view(shape)
        triangle = (1 - (places[..., None] - torch.arange(length)).abs()).clamp(min=0)  # [B, T, H, P, S]
        weights = self.weigh(x_BTD).view(shape).softmax(-1)
        value = self.value(x_BTD).unflatten(-1, (self.heads, -1))
        mixed = torch.einsum("bthps,bthp,bshd->bthd", triangle, weights, value).flatten(2)
        return self.head(torch.tanh(x_BTD + self.out(mixed)).mean(1))


def sampling(*, has_grid: bool) -> Make:
    return lambda: (Sampling(has_grid=has_grid), torch.randn(64, 12, 32), cross_entropy(64, 4))


ALL = (
    Pair("equal rows", (Fault(edited(widened, 64, 64), ("SZ201",)),), (Sound(zero_branch, "info"),)),
    Pair(
        "rows all different",
        (Fault(edited(lumped, 12, 12), ("SZ202",)),),
        (Sound(edited(nothing, 12, 12)),),
    ),
    Pair("equal columns", (Fault(edited(widened, 64, 64), ("SZ201",)),), (Sound(edited(zero_head, 64, 64)),)),
    Pair(
        "row = -row",
        (Fault(edited(mirrored(-1.0), 64, 64), ("SZ204",)),),
        (Sound(edited(mirrored(-1.0), 64, 64, phi=nn.ReLU)),),
    ),
    Pair(
        "proportional rows",
        (Fault(edited(proportional, 64, 64, phi=nn.ReLU), ("SZ204",), ("warning",), sgd),),
        (Sound(edited(proportional, 64, 64, phi=nn.ReLU), "info", ("SZ204",), adam),),
    ),
    Pair(
        "identical modules",
        (Fault(critics("copy"), ("SZ207",)), Fault(experts(distinct=False), ("SZ207",))),
        (
            Sound(critics("frozen"), "info"),
            Sound(critics("again")),
            Sound(experts(distinct=True), "warning"),
        ),
    ),
    Pair(
        "identical stacked layers",
        (Fault(stacked(cloned=True), ("SZ209",), ("warning",)),),
        (Sound(stacked(cloned=False)),),
    ),
    Pair(
        "identical learned tokens",
        (Fault(queries(has_places=False), ("SZ212",)),),
        (Sound(queries(has_places=True)),),
    ),
    Pair(
        "zero-logit heads",
        (Fault(sampling(has_grid=False), ("SZ208",)), Fault(copied_heads, ("SZ208",))),
        (Sound(sampling(has_grid=True)),),
    ),
)
