"""The kinds of layer that `benchmarks.fans` measures: how to build one, and where its linear output is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TINY = 1e-8
"""Scale at which a gated cell is linear: the product of its gates at rest times one matrix."""


class Net(nn.Module):
    """A module whose forward is a function of itself and the input, with parts by name."""

    def __init__(self, function: Callable[..., Tensor], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, Tensor) else part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


@dataclass(frozen=True)
class Kind:
    """A layer, the parameter in question, the input, and how to read its linear output where it is not the output."""

    build: Callable[[], nn.Module]
    parameter: str
    shape: tuple[int, ...]
    margin: int = 0
    """Places at each border to leave out, on the axes behind the first two."""
    period: int = 1
    read: Callable[[nn.Module, Tensor], Tensor] = lambda model, x: model(x)
    tokens: int = 0
    """Size of the vocabulary when the input is token ids; there is no gradient then."""
    exact: float | None = None
    """Fan-in where ones would mislead: a mean over k rows has the sum 1 and the variance 1 / k."""
    is_product: bool = False
    """The input enters twice, so that rectifying it would halve the result twice."""


def plain(layer: Callable[[], nn.Module], *shape: int, **rest: Any) -> Kind:
    return Kind(layer, "weight", shape, **rest)


def part(function: Callable[..., Tensor], weight: tuple[int, ...], *shape: int, **rest: Any) -> Kind:
    return Kind(lambda: Net(function, weight=torch.ones(weight)), "weight", shape, **rest)


def recurrent(cell: type[nn.RNNBase], slot: str, rest: float) -> Kind:
    """One step of a cell, near zero: ``rest`` is what its gates at rest leave of the candidate's matrix."""

    def read(model: Any, x: Tensor) -> Tensor:
        cell = model.cell
        hidden = (TINY * x if slot == "hh" else x.new_zeros(len(x), cell.hidden_size))[None]
        inputs = (x.new_zeros(len(x), cell.input_size) if slot == "hh" else TINY * x)[None]
        state = (hidden, torch.zeros_like(hidden)) if isinstance(cell, nn.LSTM) else hidden
        out: Tensor = cell(inputs, state)[0][0]
        return (out - hidden[0] / 2 if isinstance(cell, nn.GRU) else out) / (TINY * rest)

    def build() -> nn.Module:
        return Net(lambda self, x: self.cell(x[None, :, :20])[0][0], cell=cell(20, 24, bias=False))

    width = 24 if slot == "hh" else 20
    return Kind(build, f"cell.weight_{slot}_l0", (64, width), read=read)


def bilinear(model: Any, x: Tensor) -> Tensor:
    """The second input is the first of the next sample, as a constant."""
    out: Tensor = model.layer(x, x.roll(1, 0)[:, :10].detach())
    return out


def attention(name: str, **widths: int) -> Kind:
    """A projection inside the fused attention, whose result is not shown: read by hand with the module's weight."""
    width = widths.get("vdim", 24)

    def forward(self: Any, x: Tensor) -> Tensor:
        other = x[..., : widths.get("kdim", 24)]
        query = F.pad(x, (0, 24 - x.shape[-1]))
        return self.attention(query, other if widths else query, x if widths else query)[0]

    def build() -> nn.Module:
        return Net(forward, attention=nn.MultiheadAttention(24, 4, bias=False, **widths))

    def read(model: Any, x: Tensor) -> Tensor:
        return F.linear(x, getattr(model.attention, name))

    return Kind(build, f"attention.{name}", (6, 16, width), read=read)


KINDS: dict[str, Kind] = {
    "Linear": plain(lambda: nn.Linear(48, 20, bias=False), 64, 48),
    "Conv1d": plain(lambda: nn.Conv1d(8, 12, 5, bias=False), 8, 8, 40, margin=6),
    "Conv2d": plain(lambda: nn.Conv2d(8, 12, 3, padding=1, bias=False), 4, 8, 16, 16, margin=3),
    "Conv3d": plain(lambda: nn.Conv3d(4, 6, (3, 2, 1), bias=False), 2, 4, 10, 10, 10, margin=3),
    "Conv2d, stride 2": plain(lambda: nn.Conv2d(8, 12, 3, stride=2, bias=False), 4, 8, 21, 21, margin=4, period=2),
    "Conv2d, dilation 3": plain(lambda: nn.Conv2d(8, 12, 3, dilation=3, bias=False), 4, 8, 24, 24, margin=7),
    "Conv2d, patches": plain(lambda: nn.Conv2d(3, 24, 4, stride=4, bias=False), 4, 3, 24, 24),
    "Conv2d, 1x1 stride 2": plain(lambda: nn.Conv2d(16, 24, 1, stride=2, bias=False), 4, 16, 16, 16, period=2),
    "Conv2d, 4 groups": plain(lambda: nn.Conv2d(16, 24, 3, groups=4, bias=False), 4, 16, 16, 16, margin=3),
    "Conv2d, depthwise": plain(lambda: nn.Conv2d(24, 24, 3, groups=24, bias=False), 4, 24, 16, 16, margin=3),
    "Conv2d, depthwise x3": plain(lambda: nn.Conv2d(8, 24, 5, groups=8, bias=False), 4, 8, 20, 20, margin=5),
    "ConvTranspose1d, stride 2": plain(
        lambda: nn.ConvTranspose1d(8, 6, 4, stride=2, bias=False), 8, 8, 30, margin=4, period=2
    ),
    "ConvTranspose2d, stride 2": plain(
        lambda: nn.ConvTranspose2d(12, 8, 4, stride=2, bias=False), 4, 12, 14, 14, margin=4, period=2
    ),
    "ConvTranspose2d, 4 groups": plain(
        lambda: nn.ConvTranspose2d(16, 8, 4, stride=2, groups=4, bias=False), 4, 16, 14, 14, margin=4, period=2
    ),
    "ConvTranspose2d, uneven": plain(
        lambda: nn.ConvTranspose2d(12, 8, 3, stride=2, bias=False), 4, 12, 14, 14, margin=4, period=2
    ),
    "Embedding": plain(lambda: nn.Embedding(100, 16), 8, 12, tokens=100),
    "EmbeddingBag, sum": plain(lambda: nn.EmbeddingBag(400, 16, mode="sum"), 64, 10, tokens=400),
    "EmbeddingBag, mean": plain(lambda: nn.EmbeddingBag(400, 16, mode="mean"), 64, 10, tokens=400, exact=1 / 10),
    "Bilinear": Kind(
        lambda: Net(bilinear, layer=nn.Bilinear(12, 10, 8, bias=False)), "layer.weight", (128, 12), is_product=True
    ),
    "attention, packed": attention("in_proj_weight"),
    "attention, own key width": attention("k_proj_weight", kdim=16, vdim=16),
    "attention, own value width": attention("v_proj_weight", kdim=12, vdim=12),
    "LSTM, input": recurrent(nn.LSTM, "ih", 1 / 4),
    "LSTM, hidden": recurrent(nn.LSTM, "hh", 1 / 4),
    "GRU, input": recurrent(nn.GRU, "ih", 1 / 2),
    "GRU, hidden": recurrent(nn.GRU, "hh", 1 / 4),
    "RNN, input": recurrent(nn.RNN, "ih", 1.0),
    "[in, out] by addmm": part(lambda self, x: torch.addmm(x.new_zeros(20), x, self.weight), (48, 20), 64, 48),
    "x @ w": part(lambda self, x: x @ self.weight, (48, 20), 64, 48),
    "x @ w.t()": part(lambda self, x: x @ self.weight.t(), (20, 48), 64, 48),
    "experts [E, in, out]": part(lambda self, x: torch.bmm(x, self.weight), (4, 32, 12), 4, 32, 32),
    "experts [E, out, in]": part(lambda self, x: x @ self.weight.mT, (4, 12, 32), 4, 32, 32),
    "einsum, into heads": part(lambda self, x: torch.einsum("btd,hdk->bhtk", x, self.weight), (3, 32, 6), 6, 10, 32),
    "einsum, out of heads": part(
        lambda self, x: torch.einsum("bhtk,hkd->btd", x, self.weight), (3, 6, 32), 6, 3, 10, 6
    ),
    "tensordot": part(lambda self, x: torch.tensordot(x, self.weight, dims=([1, 2], [2, 1])), (10, 8, 6), 64, 6, 8),
}
