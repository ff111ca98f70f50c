import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.rules.ask import ask, generator, severities

X = torch.randn(8, 32, 128, generator=generator(7))


class Attention(nn.Module):
    """Query and key at unit gain: scores have standard deviation sqrt(head width) times ``scale``."""

    def __init__(self, scale=1.0, heads=4, is_fused=False, bias=0.0, mask=0.0, temperature=None):
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.out = (nn.Linear(128, 128, bias=False) for _ in range(4))
        for layer in (self.q, self.k):
            nn.init.normal_(layer.weight, std=128**-0.5)
        self.scale, self.heads, self.is_fused, self.bias, self.mask = scale, heads, is_fused, bias, mask
        self.temperature = nn.Parameter(torch.tensor(temperature)) if temperature else None

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.is_fused:
            mixed = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        else:
            scores = q @ k.mT * self.scale
            scores = scores if self.temperature is None else scores * self.temperature
            places = torch.arange(x.shape[1])
            scores = scores - self.bias * (places[:, None] - places).abs()
            scores = scores + self.mask * (places[:, None] < places)
            mixed = scores.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


ROOT = 32**-0.5
"""One over the root of the head width."""


@pytest.mark.parametrize("is_fused", [False, True])
@pytest.mark.parametrize(
    ("sigma", "expected"), [(0.01, []), (1.0, []), (1.5, []), (2.3, ["warning"]), (5.66, ["warning"])]
)
def test_spread_decides(sigma, expected, is_fused):
    """sqrt(ln 32) = 1.86."""
    assert severities("SZ307", Attention(sigma * ROOT, is_fused=is_fused), X) == expected


@pytest.mark.parametrize("is_fused", [False, True])
def test_place_and_message(is_fused):
    (finding,) = ask("SZ307", Attention(1.0, is_fused=is_fused), X)
    assert finding.where == ("q.weight", "k.weight")
    assert finding.value == pytest.approx(32**0.5, rel=0.15)
    assert "over 32 keys" in finding.message


# -- traps ----------------------------------------------------------------------------------------------------------


def test_distance_biases_are_silent():
    assert severities("SZ307", Attention(ROOT, bias=0.5), X) == []


@pytest.mark.parametrize("mask", [-1e4, float(torch.finfo(torch.float32).min)])
def test_masks_are_silent(mask):
    assert severities("SZ307", Attention(ROOT, mask=mask), X) == []


class Padded(Attention):
    """The mask comes with the batch, as numbers."""

    def forward(self, x, mask):
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = q @ k.mT * self.scale + (1 - mask)[:, None, None] * torch.finfo(x.dtype).min
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize(("scale", "expected"), [(ROOT, []), (1.0, ["warning"]), (20.0, ["warning"])])
def test_a_mask_from_the_batch_hides_nothing(scale, expected):
    mask = torch.ones(8, 32)
    mask[::2, 20:] = 0
    assert severities("SZ307", Padded(scale), (X, mask)) == expected


def test_learned_temperature_is_silent():
    assert severities("SZ307", Attention(ROOT, temperature=10.0), X) == []


def test_flat_attention_is_silent():
    model = Attention(ROOT)
    nn.init.zeros_(model.q.weight)
    assert severities("SZ307", model, X) == []


def test_few_keys_and_one_sample_are_silent():
    assert severities("SZ307", Attention(1.0), X[:, :6]) == []
    assert severities("SZ307", Attention(1.0), X[:1]) == []


def test_classifiers_and_routers_are_silent():
    class Router(nn.Module):
        def __init__(self):
            super().__init__()
            self.route, self.head = nn.Linear(128, 16), nn.Linear(16, 4)
            nn.init.normal_(self.route.weight)

        def forward(self, x):
            return self.head(self.route(x).softmax(-1))

    assert severities("SZ307", Router(), X) == []


def test_cosine_attention_at_its_usual_temperature_is_silent():
    class Cosine(Attention):
        def forward(self, x):
            q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
            scores = 10.0 * F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
            return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    assert severities("SZ307", Cosine(), X) == []


class RMS(nn.Module):
    """Divides by the root of the mean square, written out by hand, with or without a gain."""

    def __init__(self, width, *, has_gain):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width)) if has_gain else 1.0

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.gain


class Normalised(Attention):
    """Queries and keys are normalised, turned by their place, and multiplied without a root of the width."""

    def __init__(self, make, sides="qk"):
        super().__init__(1.0)
        self.norms = nn.ModuleDict({side: make() for side in sides})

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        angle = torch.arange(x.shape[1])[:, None] * torch.ones(32)

        def turned(side, y):
            y = self.norms[side](y) if side in self.norms else y
            return y * angle.cos() + torch.cat([-y[..., 16:], y[..., :16]], -1) * angle.sin()

        scores = turned("q", q) @ turned("k", k).mT
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize(
    "make", [lambda: nn.LayerNorm(32), lambda: RMS(32, has_gain=True), lambda: RMS(32, has_gain=False)]
)
def test_a_scale_behind_two_norms_is_no_weights_doing(make):
    assert severities("SZ307", Normalised(make), X) == []
    assert severities("SZ307", Normalised(make, sides="q"), X) == ["warning"]
    assert severities("SZ307", Normalised(make, sides=""), X) == ["warning"]
