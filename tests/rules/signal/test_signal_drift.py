import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import stepzero
from tests.rules.ask import ask, generator, he, severities

X = torch.randn(64, 64, generator=generator(7))


def stack(depth=20, width=64, phi=nn.ReLU):
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), phi())]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def orthogonal(gain, depth=20, width=64):
    """A linear stack whose signal changes by ``gain`` a layer, exactly."""
    model = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(depth)))
    for layer in model:
        nn.init.orthogonal_(layer.weight, gain=gain, generator=generator())
    return model


# -- severities -----------------------------------------------------------------------------------------------------


def test_torch_default_stack_of_20_is_found():
    (finding,) = ask("SZ301", stack(), X)
    assert finding.severity in ("warning", "error")
    assert finding.where[0] == "0.weight"
    assert "differs between samples" in finding.message
    assert 0.3 < float(finding.message.split("factor ")[1].split()[0]) < 0.6


def test_he_is_silent():
    assert severities("SZ301", he(stack(50, 128)), torch.randn(64, 128)) == []


@pytest.mark.parametrize(("gain", "expected"), [(1.2, []), (1 / 1.2, []), (1.35, ["warning"]), (1 / 1.35, ["warning"])])
def test_factor_a_layer_decides(gain, expected):
    """1.35^19 = 300: above 100, below 1,000."""
    assert severities("SZ301", orthogonal(gain), X, lambda output: output.square().mean()) == expected


@pytest.mark.parametrize(("depth", "expected"), [(5, []), (8, ["warning"])])
def test_range_decides(depth, expected):
    """A factor 2 a layer: 16 over 5 layers, 128 over 8."""
    assert severities("SZ301", orthogonal(2.0, depth), X, lambda output: output.mean()) == expected


def test_fewer_than_four_layers_say_nothing():
    assert severities("SZ301", orthogonal(100.0, 3), X) == []
    assert severities("SZ301", orthogonal(100.0, 4), X, lambda output: output.mean()) != []


def test_error_needs_a_range_of_1000_and_the_gradient():
    (finding,) = ask("SZ301", orthogonal(0.3), X, lambda output: output.square().mean())
    assert (finding.severity, finding.evidence) == ("error", "gradient")
    assert finding.value > 1e3

    def kind(output):
        """A loss whose gradient is as large as the weights, whatever the output's scale."""
        return (output / output.detach().abs().mean()).sum() * 1e6

    assert severities("SZ301", orthogonal(0.3), X, kind) in (["warning"], ["error"])
    frozen = orthogonal(0.3).requires_grad_(False)
    assert severities("SZ301", frozen, X) == ["warning"]


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm, nn.RMSNorm])
def test_norms_between_layers_are_silent(norm):
    torch.manual_seed(0)
    layers = [layer for _ in range(20) for layer in (nn.Linear(64, 64), norm(64), nn.ReLU())]
    assert severities("SZ301", nn.Sequential(*layers, nn.Linear(64, 4)), X) == []


class Residual(nn.Module):
    """Un-normalised branches, scaled by depth or not."""

    def __init__(self, blocks=12, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(blocks)
        )
        self.scale, self.head = scale, nn.Linear(64, 4)

    def forward(self, x):
        for branch in self.branches:
            x = x + self.scale * branch(x)
        return self.head(x)


@pytest.mark.parametrize("scale", [1.0, 12**-0.5, 0.0])
def test_residual_networks_and_depth_scaling_are_silent(scale):
    assert severities("SZ301", Residual(scale=scale), X) == []


class Cup(nn.Module):
    """A U-shaped network: down, up, with skips by concatenation."""

    def __init__(self, depth=4):
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.ModuleList(nn.Conv2d(3 if level == 0 else 8, 8, 3, padding=1) for level in range(depth))
        self.up = nn.ModuleList(nn.Conv2d(16, 8, 3, padding=1) for _ in range(depth))
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        kept = []
        for layer in self.down:
            x = F.relu(layer(x))
            kept.append(x)
            x = F.max_pool2d(x, 2)
        for layer in self.up:
            x = F.relu(layer(torch.cat([F.interpolate(x, scale_factor=2), kept.pop()], 1)))
        return self.head(x)


def test_u_shaped_networks_are_silent():
    assert severities("SZ301", Cup(), torch.randn(4, 3, 32, 32)) == []


@pytest.mark.parametrize("seed", range(5))
def test_narrow_deep_stacks_stay_within_chance(seed):
    """Width 8, depth 40, He's law: the draw alone moves ln rms by several units."""
    torch.manual_seed(seed)
    layers = [layer for _ in range(40) for layer in (nn.Linear(8, 8, bias=False), nn.ReLU())]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight)
    assert severities("SZ301", nn.Sequential(*layers, nn.Linear(8, 4)), torch.randn(64, 8)) == []


def test_raw_input_does_not_make_a_sound_stack_drift():
    assert severities("SZ301", he(stack()), 1000.0 + 300.0 * X) == []


def test_raw_input_is_the_root_when_both_speak():
    report = stepzero.check(stack(), 1000.0 + 10.0 * X, select=["SZ301", "SZ901"])
    roots = {finding.code: finding.root for finding in report.findings}
    assert roots["SZ901"] is None
    assert roots["SZ301"].startswith("SZ901")


def test_images_of_noise_through_pools_are_silent():
    """Pools average noise away: samples grow alike without any fault of the weights."""
    torch.manual_seed(0)
    layers, before = [], 3
    for width in (16, 32, 64, 64):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        before = width
    model = he(nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU(), nn.Linear(64, 4)))
    assert severities("SZ301", model, torch.randn(8, 3, 64, 64)) == []


def test_tanh_at_gain_one_is_silent():
    torch.manual_seed(0)
    model = stack(30, 128, nn.Tanh)
    for layer in model[::2]:
        nn.init.xavier_normal_(layer.weight, gain=1.0)
        nn.init.zeros_(layer.bias)
    assert severities("SZ301", model, torch.randn(64, 128)) == []


def test_equal_samples_are_judged_by_their_size_alone():
    assert severities("SZ301", he(stack()), X[:1].expand(64, -1).clone()) == []
    assert severities("SZ301", stack(), X[:1]) == []


def test_message_holds_the_range_of_the_line():
    (finding,) = ask("SZ301", orthogonal(1.5), X, lambda output: output.mean())
    assert finding.value == pytest.approx(1.5**19, rel=0.1)
    assert finding.limit == 100
    assert math.isclose(float(finding.message.split("factor ")[1].split()[0]), 1.5, rel_tol=0.02)
