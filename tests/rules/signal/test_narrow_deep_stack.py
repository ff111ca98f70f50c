import math

import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, he, severities


def stack(width=16, depth=50, phi=nn.ReLU, norm=None):
    parts = []
    for _ in range(depth):
        parts += [nn.Linear(width, width), *([norm(width)] if norm else []), phi()]
    return he(nn.Sequential(*parts, nn.Linear(width, 4)))


def data(width=16):
    return torch.randn(64, width, generator=generator(7))


@pytest.mark.parametrize(
    ("width", "depth", "expected"), [(16, 50, ["warning"]), (32, 20, ["warning"]), (64, 10, []), (256, 50, [])]
)
def test_width_and_depth_decide(width, depth, expected):
    assert severities("SZ315", stack(width, depth), data(width)) == expected


def test_short_runs_are_silent_however_narrow():
    assert severities("SZ315", stack(4, 6), data(4)) == []


def test_value_is_the_variance_over_draws():
    """The oracle: 300 draws of one stack."""
    width, depth, x = 32, 16, data(32)[:1]
    (finding,) = ask("SZ315", stack(width, depth), data(32))
    draw, logs = generator(1), []
    for _ in range(300):
        h = x
        for _ in range(depth):
            h = torch.relu(h @ (torch.randn(width, width, generator=draw) * math.sqrt(2 / width)))
        logs.append(math.log(float(h.square().sum())))
    assert finding.value == pytest.approx(float(torch.tensor(logs).var()), rel=0.35)


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm1d])
def test_normalised_stacks_are_silent(norm):
    assert severities("SZ315", stack(norm=norm), data()) == []


def test_residual_stacks_are_silent():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x):
            return x + 0.1 * self.b(torch.relu(self.a(x)))

    model = he(nn.Sequential(*(Block() for _ in range(30)), nn.Linear(16, 4)))
    assert severities("SZ315", model, data()) == []


@pytest.mark.parametrize("seed", range(3))
def test_orthogonal_draws_are_silent(seed):
    torch.manual_seed(seed)
    model = stack()
    for layer in model[::2]:
        nn.init.orthogonal_(layer.weight, gain=2**0.5)
    assert severities("SZ315", model, data()) == []


def test_orthogonal_draws_of_several_sizes_are_silent():
    """A calibrated stack: each layer has a factor of its own, and none of them is chance."""
    model = stack()
    for number, layer in enumerate(model[::2]):
        nn.init.orthogonal_(layer.weight, gain=2**0.5 * (0.8 + 0.1 * (number % 5)))
    assert severities("SZ315", model, data()) == []


def test_normal_draws_scaled_to_one_factor_are_told():
    """Rows and columns of independent entries differ by chance, whatever the size of the whole."""
    model = stack()
    with torch.no_grad():
        for layer in model[:-1:2]:
            layer.weight *= 2**0.5 * 4 / layer.weight.norm()
    assert severities("SZ315", model, data()) == ["warning"]


@pytest.mark.parametrize("phi", [nn.Tanh, nn.GELU])
def test_other_activations_are_silent(phi):
    assert severities("SZ315", stack(phi=phi), data()) == []


def test_convolutions_are_not_judged():
    layers = [part for _ in range(20) for part in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    assert severities("SZ315", he(nn.Sequential(*layers)), torch.randn(8, 8, 8, 8)) == []
