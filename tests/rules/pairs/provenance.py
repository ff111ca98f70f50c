"""Where values come from: memory nobody wrote, writes without effect, shards drawn from one seed."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tests.rules.pairs.pair import LOUD, Fault, Make, Pair, Sound, cross_entropy, plain


class Unwritten(nn.Module):
    """A layer whose weight nobody writes, or a cache that the first forward fills."""

    def __init__(self, *, is_cache: bool) -> None:
        super().__init__()
        self.body, self.is_cache = plain(32, 64, 4), is_cache
        if is_cache:
            self.register_buffer("table", torch.empty(4, 4), persistent=False)
            self.is_filled = False
        else:
            self.table = nn.Parameter(torch.empty(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        if self.is_cache and not self.is_filled:
            self.table.copy_(torch.eye(4))
            self.is_filled = True
        return self.body(x) @ self.table


def unwritten(*, is_cache: bool) -> Make:
    return lambda: (Unwritten(is_cache=is_cache), torch.randn(64, 32), cross_entropy(64, 4))


def normalised(*, writes_raw: bool) -> Make:
    """Convolutions under weight norm, whose init writes the recomputed weight or the raw tensor behind it."""

    def make():
        layers = [parametrizations.weight_norm(nn.Conv1d(8, 8, 3, padding=1)) for _ in range(3)]
        for layer in layers:
            if writes_raw:
                nn.init.normal_(layer.parametrizations.weight.original1, std=0.1)
            else:
                nn.init.normal_(layer.weight, std=0.01)
        body = [part for layer in layers for part in (layer, nn.LeakyReLU(0.1))]
        model = nn.Sequential(*body, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 4))
        return model, torch.randn(64, 8, 20), cross_entropy(64, 4)

    return make


class Gathered(nn.Module):
    """A block that was drawn in four shards, by columns and by rows, then gathered; biases and norm are replicated."""

    def __init__(self, *, same_seed: bool) -> None:
        super().__init__()
        self.norm, self.up, self.down, self.head = (
            nn.LayerNorm(32),
            nn.Linear(32, 64),
            nn.Linear(64, 32),
            nn.Linear(32, 4),
        )
        with torch.no_grad():
            for shard in range(4):
                rows = slice(16 * shard, 16 * shard + 16)
                draw = torch.Generator().manual_seed(7 if same_seed else 7 + shard)
                self.up.weight[rows].normal_(std=32**-0.5, generator=draw)
                self.down.weight[:, rows] = torch.empty(32, 16).normal_(std=64**-0.5, generator=draw)
            self.up.bias.zero_()
            self.down.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.down(torch.relu(self.up(self.norm(x)))))


def gathered(*, same_seed: bool) -> Make:
    return lambda: (Gathered(same_seed=same_seed), torch.randn(64, 32), cross_entropy(64, 4))


ALL = (
    Pair(
        "NaN after poison build",
        (Fault(unwritten(is_cache=False), ("SZ102",)),),
        (Sound(unwritten(is_cache=True)),),
    ),
    Pair(
        "init call in the log",
        (Fault(normalised(writes_raw=False), ("SZ108",), LOUD),),
        (Sound(normalised(writes_raw=True)),),
    ),
    Pair("equal shards", (Fault(gathered(same_seed=True), ("SZ801",)),), (Sound(gathered(same_seed=False)),)),
)
