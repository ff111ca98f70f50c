"""Gradients that are zero or missing for four different reasons."""

import torch
import torch.nn.functional as F
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
)


class Routed(nn.Module):
    """A mixture of experts that keeps the ``top`` largest router weights, renormalised or raw."""

    def __init__(self, top: int, *, is_renormalised: bool) -> None:
        super().__init__()
        self.top, self.is_renormalised = top, is_renormalised
        self.gate, self.head = nn.Linear(32, 4, bias=False), nn.Linear(32, 4)
        self.experts = nn.ModuleList(plain(32, 64, 32) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).topk(self.top)
        if self.is_renormalised:
            weights = weights / weights.sum(-1, keepdim=True)
        every = torch.stack([expert(x) for expert in self.experts], 1)
        picked = every.gather(1, chosen[..., None].expand(-1, -1, 32))
        return self.head(x + (weights[..., None] * picked).sum(1))


def routed(top: int, *, is_renormalised: bool) -> Make:
    return lambda: (Routed(top, is_renormalised=is_renormalised), torch.randn(64, 32), cross_entropy(64, 4))


class Sampled(nn.Module):
    """A latent drawn from a learned Gaussian without a path for the derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.mean, self.spread = plain(32, 64, 64), nn.Linear(64, 8), nn.Linear(64, 8)
        self.decode = plain(8, 64, 32)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.encode(x))
        return self.decode(torch.distributions.Normal(self.mean(h), F.softplus(self.spread(h))).sample())


class Tasks(nn.Module):
    """Two heads; the loss of this batch reads the first."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.first, self.second = plain(32, 64, 64), nn.Linear(64, 4), nn.Linear(64, 7)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.body(x))
        return self.first(h), self.second(h)


def sampled():
    x = torch.randn(64, 32)
    return Sampled(), x, lambda output: F.mse_loss(output, x)


def tasks():
    return Tasks(), torch.randn(64, 32), lambda outputs: F.cross_entropy(outputs[0], torch.arange(64) % 4)


def dead_behind():
    model = plain(32, 64, 64, 4)
    nn.init.constant_(model[2].bias, -20.0)
    return model, torch.randn(64, 32), cross_entropy(64, 4)


def before_norm():
    model = plain(32, 64, 64, 4)
    return nn.Sequential(*model[:3], nn.BatchNorm1d(64), *model[3:]), torch.randn(64, 32), cross_entropy(64, 4)


def key_bias():
    change = nn.Sequential(nn.LayerNorm(32), Attention(32, 4))
    return language(nn.Sequential(nn.Embedding(64, 32), Residual(change), nn.LayerNorm(32), nn.Linear(32, 64)))


def softmax_over_one():
    model = nn.Sequential(*plain(32, 64, 64, 1), nn.Softmax(-1))
    target = (torch.arange(64) % 2).float()
    return model, torch.randn(64, 32), lambda output: F.binary_cross_entropy(output[:, 0], target)


def sum_over_norm():
    """The loss that is blind to everything in front of the norm; the network is sound."""
    model = nn.Sequential(*plain(32, 64, 64, 16), nn.LayerNorm(16))
    return model, torch.randn(64, 32), lambda output: output.sum()


def only_biases(*widths: int, phi) -> Make:
    """Zero weights and random biases."""

    def make():
        model = plain(32, *widths, 4, phi=phi)
        for layer in model[::2]:
            nn.init.zeros_(layer.weight)
            nn.init.normal_(layer.bias, std=0.5)
        return model, torch.randn(64, 32), cross_entropy(64, 4)

    return make


ALL = (
    Pair(
        "router without gradient",
        (Fault(routed(1, is_renormalised=True), ("SZ406",)),),
        (Sound(routed(2, is_renormalised=True)), Sound(routed(1, is_renormalised=False))),
    ),
    Pair("grad is None", (Fault(sampled, ("SZ406",)),), (Sound(tasks, "info", ("SZ405",)),)),
    Pair(
        "zero gradient on a bias",
        (Fault(dead_behind, ("SZ305",)),),
        (Sound(before_norm, "info", ("SZ603",)), Sound(key_bias, "info", ("SZ603",))),
    ),
    Pair("all gradients zero", (Fault(softmax_over_one, ("SZ506",)),), (Sound(sum_over_norm),)),
    Pair(
        "zero weights, random biases",
        (Fault(only_biases(64, 64, 64, 64, 64, phi=nn.ReLU), ("SZ404",), optimizer=sgd),),
        (
            Sound(only_biases(64, phi=nn.Tanh), "info", optimizer=sgd),
            Sound(only_biases(64, 64, phi=nn.Tanh), "info", optimizer=adam),
        ),
    ),
)
