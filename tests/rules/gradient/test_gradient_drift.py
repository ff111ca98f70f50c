import pytest
import torch
from torch import nn

import stepzero
from tests.rules.ask import ask, generator, he, severities

X = torch.randn(64, 64, generator=generator(7))


def square(output):
    return output.square().mean()


def stack(depth, phi=nn.ReLU, width=64):
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), phi())]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def orthogonal(gain, depth=20):
    """A linear stack whose gradient changes by ``gain`` a layer."""
    model = nn.Sequential(*(nn.Linear(64, 64, bias=False) for _ in range(depth)))
    for layer in model:
        nn.init.orthogonal_(layer.weight, gain=gain, generator=generator())
    return model


# -- severities -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "expected"), [(1.2, []), (1 / 1.2, []), (1.38, []), (1.5, ["warning"])])
def test_factor_and_range_decide(gain, expected):
    """1.2 is below 1.25; 1.38^19 = 455 is below 1,000; 1.5^19 = 2,200 is above."""
    assert severities("SZ401", orthogonal(gain), X, lambda output: output.mean()) == expected


def test_error_needs_a_weight_that_stands_still():
    (finding,) = ask("SZ401", orthogonal(0.5), X, square)
    assert (finding.severity, finding.evidence) == ("error", "gradient")
    assert finding.value > 1e4
    assert "some weight moves by" in finding.message
    assert severities("SZ401", orthogonal(0.5), X, lambda output: 1e12 * square(output)) == ["warning"]


def test_torch_default_stack_is_an_error_and_hangs_under_the_signal():
    report = stepzero.check(stack(20), X, square, select=["SZ301", "SZ401"])
    roots = {finding.code: (finding.severity, finding.root) for finding in report.findings}
    assert roots["SZ301"][1] is None
    assert roots["SZ401"][1].startswith("SZ301")


def test_sigmoid_stacks_shrink_the_gradient_at_perfect_scale():
    model = stack(10, nn.Sigmoid)
    for layer in model[::2]:
        nn.init.xavier_normal_(layer.weight)
    (finding,) = ask("SZ401", model, X, square)
    factor = float(finding.message.split("factor ")[1].split()[0])
    assert 3 < factor < 6


def test_place_is_every_weight_of_the_run():
    (finding,) = ask("SZ401", orthogonal(2.0, 14), X, lambda output: output.mean())
    assert finding.where == tuple(f"{index}.weight" for index in range(14))


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phi", "depth"), [(nn.ReLU, 40), (nn.GELU, 3), (nn.Tanh, 3)])
def test_sound_stacks_are_silent(phi, depth):
    assert severities("SZ401", he(stack(depth, phi, 128)), torch.randn(64, 128), square) == []


def test_delayed_runs_are_judged_when_they_wake():
    model = stack(20)
    nn.init.zeros_(model[-1].weight)
    assert severities("SZ401", model, X, square) == []


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_norms_are_silent(norm):
    torch.manual_seed(0)
    layers = [layer for _ in range(20) for layer in (nn.Linear(64, 64), norm(64), nn.Sigmoid())]
    assert severities("SZ401", nn.Sequential(*layers, nn.Linear(64, 4)), X, square) == []


def test_residual_networks_are_silent():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.branches = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.Sigmoid()) for _ in range(20))
            self.head = nn.Linear(64, 4)

        def forward(self, x):
            for branch in self.branches:
                x = x + branch(x)
            return self.head(x)

    assert severities("SZ401", Residual(), X, square) == []


def test_widths_strides_and_pools_are_no_drift():
    """rms of the gradient an element grows 100-fold here; its norm does not."""
    torch.manual_seed(0)
    layers, before = [], 3
    for width in (16, 32, 64, 128):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        before = width
    model = he(nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 10)))
    assert severities("SZ401", model, torch.randn(4, 3, 64, 64), square) == []


@pytest.mark.parametrize("seed", range(3))
def test_narrow_stacks_stay_within_chance(seed):
    torch.manual_seed(seed)
    layers = [layer for _ in range(30) for layer in (nn.Linear(16, 16, bias=False), nn.ReLU())]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight)
    assert severities("SZ401", nn.Sequential(*layers, nn.Linear(16, 4)), torch.randn(64, 16), square) == []


def test_frozen_and_unfed_models_say_nothing():
    assert severities("SZ401", orthogonal(0.5).requires_grad_(False), X, square) == []
