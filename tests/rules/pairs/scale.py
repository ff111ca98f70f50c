"""One standard deviation, two verdicts."""

import torch
from torch import Tensor, nn

from tests.rules.pairs.pair import LOUD, Fault, Make, Pair, Residual, Sound, Transformer, cross_entropy, language, plain


def deep(std: float, depth: int = 12) -> Make:
    def make():
        model = plain(32, *[64] * depth, 4)
        for layer in model[::2]:
            nn.init.normal_(layer.weight, std=std)
        return model, torch.randn(64, 32), cross_entropy(64, 4)

    return make


def transformer():
    return language(Transformer(std=0.02, blocks=4))


class Tied(nn.Module):
    """Tokens drawn N(0, 1); logits are products with the same table, divided by ``divisor``.

    Without a skip from the table to the logits: with one, every token is the sure guess for itself, however scaled.
    """

    def __init__(self, divisor: float, width: int = 128) -> None:
        super().__init__()
        self.tokens, self.divisor = nn.Embedding(64, width), divisor
        self.body = plain(width, width, width, phi=nn.Tanh, gain=1.0)

    def forward(self, ids: Tensor) -> Tensor:
        return torch.tanh(self.body(self.tokens(ids))) @ self.tokens.weight.T / self.divisor


def tied(divisor: float) -> Make:
    return lambda: language(Tied(divisor))


def loud_head():
    model = plain(32, 256, 256, 64)
    nn.init.normal_(model[4].weight)
    return model, torch.randn(64, 32), cross_entropy(64, 64)


def outlying(*, is_broken: bool) -> Make:
    """std 0.02, truncated; a low-precision draw puts single elements at 2000 sigma."""

    def make():
        model = plain(64, 128, 128, 4).to(torch.bfloat16)
        for layer in model[::2]:
            nn.init.trunc_normal_(layer.weight, std=0.02, a=-2.0, b=2.0)
        if is_broken:
            model[2].weight.data[5, 7] = model[2].weight.data[90, 3] = 40.0
        return model, torch.randn(64, 64, dtype=torch.bfloat16), cross_entropy(64, 4)

    return make


def critical(width: int, depth: int = 50) -> Make:
    return lambda: (plain(width, *[width] * depth, 4), torch.randn(64, width), cross_entropy(64, 4))


def residual(scale: float, width: int = 16, blocks: int = 25) -> Make:
    """Un-normalised branches of two layers; ``scale`` multiplies the last: sqrt(2) makes it as loud as its input."""

    def make():
        branches = [plain(width, width, width) for _ in range(blocks)]
        for branch in branches:
            branch[2].weight.data *= scale
        model = nn.Sequential(nn.Linear(16, width), *map(Residual, branches), nn.Linear(width, 4))
        return model, torch.randn(64, 16), cross_entropy(64, 4)

    return make


ALL = (
    Pair("std 0.02", (Fault(deep(0.02), ("SZ301", "SZ302"), LOUD),), (Sound(transformer),)),
    Pair(
        "std 1 weights",
        (Fault(loud_head, ("SZ501",)), Fault(tied(1.0), ("SZ501",))),
        (Sound(tied(128**0.5)),),
    ),
    Pair(
        "truncated normal",
        (Fault(outlying(is_broken=True), ("SZ103",), LOUD),),
        (Sound(outlying(is_broken=False)),),
    ),
    Pair(
        "deep stack at critical gain",
        (Fault(critical(16), ("SZ315",), LOUD),),
        (Sound(critical(500)), Sound(residual(25**-0.5))),
    ),
    Pair(
        "branch louder than stream",
        (Fault(residual(2**0.5, width=64, blocks=24), ("SZ308",), LOUD),),
        (Sound(transformer, "info"),),
    ),
)
