"""Zeros that multiply each other, and zeros that only wait."""

import torch
from torch import Tensor, nn

from tests.rules.pairs.pair import (
    Attention,
    Fault,
    Make,
    Pair,
    Residual,
    Sound,
    cross_entropy,
    language,
    plain,
)


class Adapted(nn.Module):
    """A frozen layer with ``slots`` low-rank adapters added: W x + sum_s B_s A_s x."""

    def __init__(self, width: int, slots: int = 1, rank: int = 4) -> None:
        super().__init__()
        self.base = nn.Linear(width, width).requires_grad_(False)
        self.A = nn.Parameter(torch.randn(slots, rank, width) * width**-0.5)
        self.B = nn.Parameter(torch.zeros(slots, width, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + torch.einsum("sor,sri,bi->bo", self.B, self.A, x)


def adapter(zero_a: slice, *, zero_b: bool = True, slots: int = 1) -> Make:
    def make():
        model = nn.Sequential(Adapted(32, slots), nn.GELU(), Adapted(32, slots), nn.GELU(), nn.Linear(32, 4))
        for layer in (model[0], model[2]):
            nn.init.zeros_(layer.A.data[zero_a])
            if not zero_b:
                nn.init.normal_(layer.B, std=0.5)
        return model, torch.randn(64, 32), cross_entropy(64, 4)

    return make


def gain_on_main_path():
    model = plain(32, 64, 64, 4)
    norm = nn.BatchNorm1d(64)
    nn.init.zeros_(norm.weight)
    return nn.Sequential(*model[:3], norm, *model[3:]), torch.randn(64, 32), cross_entropy(64, 4)


def gain_of_branch():
    norm = nn.BatchNorm1d(32)
    nn.init.zeros_(norm.weight)
    branch = nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), norm)
    model = nn.Sequential(nn.Linear(16, 32), Residual(branch), nn.ReLU(), nn.Linear(32, 4))
    return model, torch.randn(64, 16), cross_entropy(64, 4)


def zeroed(*layers: int, phi=nn.ReLU) -> Make:
    def make():
        model = plain(32, 64, 64, 64, 4, phi=phi)
        for index in layers:
            nn.init.zeros_(model[index].weight)
        return model, torch.randn(64, 32), cross_entropy(64, 4)

    return make


def two_zero_layers(*, with_skip: bool) -> Make:
    """A copy of a block feeds a zero layer, the sum feeds another zero layer that is added to the frozen trunk."""

    class Control(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.hint, self.copy = nn.Linear(32, 32), nn.Linear(16, 32), plain(32, 32, 32)
            self.into, self.out, self.head = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 4)
            self.trunk.requires_grad_(False)
            for layer in (self.into, self.out):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

        def forward(self, x, hint):
            h = self.trunk(x)
            entering = self.into(torch.tanh(self.hint(hint)))
            inner = self.copy(h + entering) if with_skip else entering
            return self.head(torch.tanh(h + self.out(inner)))

    return lambda: (Control(), (torch.randn(64, 32), torch.randn(64, 16)), cross_entropy(64, 4))


def gated(*, zero_branch: bool) -> Make:
    def make():
        blocks = [Residual(plain(32, 64, 32), alpha=0.0) for _ in range(3)]
        for block in blocks if zero_branch else []:
            nn.init.zeros_(block.branch[2].weight)
        return nn.Sequential(nn.Linear(16, 32), *blocks, nn.Linear(32, 4)), torch.randn(64, 16), cross_entropy(64, 4)

    return make


def attention(scale: float) -> Make:
    def make():
        mixing = Attention(32, 4)
        for layer in (mixing.q, mixing.k):
            layer.weight.data *= scale
            nn.init.zeros_(layer.bias)
        change = nn.Sequential(nn.LayerNorm(32), mixing)
        return language(nn.Sequential(nn.Embedding(64, 32), Residual(change), nn.LayerNorm(32), nn.Linear(32, 64)))

    return make


ALL = (
    Pair(
        "zero low-rank factor",
        (
            Fault(adapter(slice(None)), ("SZ701",)),
            Fault(adapter(slice(1, 2), slots=2), ("SZ701",)),
        ),
        (
            Sound(adapter(slice(0)), "info", ("SZ403",)),
            Sound(adapter(slice(None), zero_b=False), "info", ("SZ403",)),
        ),
    ),
    Pair(
        "norm gain 0",
        (Fault(gain_on_main_path, ("SZ310", "SZ402")),),
        (Sound(gain_of_branch, "info", ("SZ403",)),),
    ),
    Pair(
        "zero weight matrix",
        (
            Fault(zeroed(2), ("SZ206", "SZ402")),
            Fault(zeroed(2, 4, phi=nn.Tanh), ("SZ206", "SZ402", "SZ701")),
        ),
        (Sound(zeroed(6), "info", ("SZ206", "SZ403")),),
    ),
    Pair(
        "two zero layers in a row",
        (Fault(two_zero_layers(with_skip=False), ("SZ701",)),),
        (Sound(two_zero_layers(with_skip=True), "info", ("SZ403",)),),
    ),
    Pair(
        "zero gate",
        (Fault(gated(zero_branch=True), ("SZ701",)),),
        (Sound(gated(zero_branch=False), "info", ("SZ403",)),),
    ),
    Pair("flat attention", (Fault(attention(0.0), ("SZ701",)),), (Sound(attention(0.1), "info"),)),
)
