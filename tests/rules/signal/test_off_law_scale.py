import math

import pytest
import torch
from torch import nn

import stepzero
from tests.rules.ask import ask, generator, he, severities

X = torch.randn(64, 64, generator=generator(7))


def stack(factor=1.0, depth=10, phi=nn.ReLU):
    """Every layer ``factor`` times its law."""
    layers = [part for _ in range(depth) for part in (nn.Linear(64, 64), phi())]
    model = he(nn.Sequential(*layers, nn.Linear(64, 4)))
    with torch.no_grad():
        for layer in model[:-1:2]:
            layer.weight *= factor
        model[-1].weight *= 0.5**0.5
    return model


@pytest.mark.parametrize(
    ("factor", "depth", "expected"),
    [
        (1.0, 10, []),
        (0.41, 4, ["info"]),
        (0.41, 8, ["warning"]),
        (2.5, 4, ["info"]),
        (2.5, 8, ["warning"]),
        (0.8, 30, []),
        (0.41, 1, []),
    ],
)
def test_product_along_the_run_decides(factor, depth, expected):
    """0.8 a layer is no layer's fault by itself: SZ301 sees it."""
    assert severities("SZ302", stack(factor, depth), X) == expected


def test_message_names_the_worst_layer_with_its_law():
    model = stack(0.4, 8)
    with torch.no_grad():
        model[4].weight *= 0.1
    (finding,) = ask("SZ302", model, X)
    assert "most in 4.weight" in finding.message
    assert finding.fix.arguments["std"] == pytest.approx(math.sqrt(2 / 64))
    assert finding.where == tuple(f"{2 * number}.weight" for number in range(8))


def test_it_is_the_root_of_the_drift_and_as_loud():
    report = stepzero.check(stack(0.1, 12), X, select=["SZ301", "SZ302", "SZ401"])
    roots = {finding.code: finding.root for finding in report.findings}
    assert roots["SZ302"] is None
    assert roots["SZ301"].startswith("SZ302")
    said = {finding.code: finding.severity for finding in report.findings}
    assert said["SZ302"] == min(said.values())  # "error" sorts before "warning"


@pytest.mark.parametrize(("factor", "expected"), [(1.0, ["info"]), (0.5, ["warning"])])
def test_a_small_signal_that_does_not_fade_is_a_choice(factor, expected):
    """Tanh behind orthogonal maps that keep a signal of 0.2 needs no gain, where unit signals need 1.59 a layer."""
    model = stack(1.0, 20, nn.Tanh)
    for number, layer in enumerate(model[:-1:2]):
        nn.init.orthogonal_(layer.weight, gain=1.02 * factor if number else 0.2)
    assert severities("SZ302", model, X) == expected


# -- traps ----------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.a, self.b = nn.LayerNorm(64), nn.Linear(64, 256), nn.Linear(256, 64)
        for layer in (self.a, self.b):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, x):
        return x + self.b(torch.relu(self.a(self.norm(x))))


def test_std_002_under_norms_is_silent():
    model = nn.Sequential(*(Block() for _ in range(12)), nn.LayerNorm(64), nn.Linear(64, 4))
    assert severities("SZ302", model, X) == []


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm1d])
def test_norms_between_layers_are_silent(norm):
    layers = [part for _ in range(10) for part in (nn.Linear(64, 64), norm(64), nn.ReLU())]
    assert severities("SZ302", nn.Sequential(*layers, nn.Linear(64, 4)), X) == []


def test_orthogonal_draws_are_silent():
    model = stack()
    for layer in model[:-1:2]:
        nn.init.orthogonal_(layer.weight, gain=2**0.5)
    assert severities("SZ302", model, X) == []


def test_truncation_is_silent():
    model = stack()
    for layer in model[:-1:2]:
        std = math.sqrt(2 / 64)
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    assert severities("SZ302", model, X) == []


def test_periodic_layers_are_silent():
    class Sine(nn.Module):
        def forward(self, x):
            return (30 * x).sin()

    layers = [part for _ in range(10) for part in (nn.Linear(64, 64), Sine())]
    model = nn.Sequential(*layers, nn.Linear(64, 4))
    for layer in model[::2]:
        nn.init.uniform_(layer.weight, -math.sqrt(6 / 64) / 30, math.sqrt(6 / 64) / 30)
    assert severities("SZ302", model, X) == []


def test_factors_in_the_forward_pass_are_silent():
    class Unit(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64, 64))

        def forward(self, x):
            return torch.relu(x @ self.weight * (2 / 64) ** 0.5)

    assert severities("SZ302", nn.Sequential(*(Unit() for _ in range(10))), X) == []


# -- residual streams without norms -----------------------------------------------------------------------------------


class Projected(nn.Module):
    """A residual block whose skip projects."""

    def __init__(self, width=32):
        super().__init__()
        self.first, self.second, self.skip = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x):
        return torch.relu(self.skip(x) + self.second(torch.relu(self.first(x))))


class Scaled(Projected):
    """The same with a factor on the stream that makes up for the draw."""

    def forward(self, x):
        return 20 * super().forward(x)


def stream(scale=1.0, block=Projected, blocks=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), *(block() for _ in range(blocks)), nn.Linear(32, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale if parameter.dim() > 1 else 0.0)
    return model


def test_a_stream_that_fades_on_its_way_to_the_head_is_found():
    (finding,) = ask("SZ302", stream(0.05), X)
    assert finding.severity == "warning"
    assert finding.where == ("0.weight", *(f"{number}.skip.weight" for number in (2, 3, 4)))


def test_the_frameworks_draw_is_silent_where_skips_carry_the_signal():
    assert severities("SZ302", stream(), X) == []


def test_a_short_stream_is_repaired_by_the_first_steps():
    assert severities("SZ302", stream(0.05, blocks=1), X) == []


def test_branches_that_start_small_leave_the_stream_as_it_was():
    model = stream()
    with torch.no_grad():
        for block in model[2:5]:
            block.first.weight.mul_(0.01)
            block.second.weight.mul_(0.01)
    assert severities("SZ302", model, X) == []


def test_factors_on_the_stream_make_up_for_the_draw():
    assert severities("SZ302", stream(0.05, Scaled), X) == []


def test_a_norm_in_front_of_the_head_takes_the_scale_away():
    model = stream(0.05)
    model[5] = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 4))
    assert severities("SZ302", model, X) == []
