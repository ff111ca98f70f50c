import math

import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

IDS = torch.randint(0, 50, (32, 12), generator=generator(3))


class Words(nn.Module):
    def __init__(self, tokens=0.02, places=0.02, *, scale=1.0, kind="table"):
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.head = nn.Embedding(50, 16), nn.Linear(16, 4)
        nn.init.normal_(self.tokens.weight, std=tokens)
        self.kind, self.scale = kind, scale
        drawn = places * torch.randn(12, 16)
        if kind in ("table", "ids"):
            self.places = nn.Embedding(12, 16, _weight=drawn)
        elif kind == "parameter":
            self.places = nn.Parameter(drawn[None])
        else:
            self.register_buffer("places", drawn)

    def forward(self, ids):
        x = self.tokens(ids) * self.scale
        if self.kind == "table":
            return self.head(x + self.places(torch.arange(12)))
        if self.kind == "ids":
            return self.head(x + self.places(ids % 12))
        return self.head(x + self.places[..., : ids.shape[1], :])


@pytest.mark.parametrize("kind", ["table", "ids", "parameter"])
def test_positions_far_below_or_above_the_tokens(kind):
    (finding,) = ask("SZ605", Words(1.0, 0.01, kind=kind), IDS)
    assert (finding.severity, finding.where[-1]) == ("warning", "tokens.weight")
    assert finding.where[0].startswith("places")
    assert finding.value == pytest.approx(0.01, rel=0.15)
    assert severities("SZ605", Words(0.02, 1.0, kind=kind), IDS) == ["warning"]


def test_fixed_waves_over_small_tokens():
    (finding,) = ask("SZ605", Words(0.02, 1.0, kind="buffer"), IDS)
    assert finding.where == ("tokens.weight",)
    assert finding.value == pytest.approx(50, rel=0.15)


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["table", "ids", "parameter", "buffer"])
def test_tables_of_one_size_are_silent(kind):
    assert severities("SZ605", Words(0.02, 0.02, kind=kind), IDS) == []
    assert severities("SZ605", Words(1.0, 0.05, kind=kind), IDS) == []


@pytest.mark.parametrize("kind", ["table", "buffer"])
def test_scaling_in_the_forward_counts(kind):
    width = 1024
    assert severities("SZ605", Words(1 / math.sqrt(width), 1.0, scale=math.sqrt(width), kind=kind), IDS) == []
    assert severities("SZ605", Words(0.02, 0.02, scale=100.0), IDS) == ["warning"]


def test_positions_that_start_at_zero_are_a_note():
    assert severities("SZ605", Words(1.0, 0.0), IDS) == ["info"]


def test_small_positions_of_patches_are_silent():
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.places = nn.Linear(16, 16), nn.Parameter(0.001 * torch.randn(1, 12, 16))

        def forward(self, x):
            return self.patch(x) + self.places

    assert severities("SZ605", Patches(), torch.randn(4, 12, 16)) == []


def test_a_bias_is_no_position():
    class Biased(Words):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.full((16,), 1e-4))

        def forward(self, ids):
            return self.head(self.tokens(ids) + self.shift)

    assert severities("SZ605", Biased(), IDS) == []
