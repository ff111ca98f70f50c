import pytest
import torch
from torch import nn
from torch.nn import functional as F

import stepzero
from tests.rules.ask import ask, generator, he, severities

X = torch.randn(64, 32, generator=generator(7))
LABELS = torch.arange(64) % 4


def goal(output):
    return F.cross_entropy(output, LABELS)


def net(scale=1.0, norm=None):
    """He's law everywhere, the middle layer times ``scale``."""
    norm = norm or nn.BatchNorm1d(64)
    model = he(nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), norm, nn.ReLU(), nn.Linear(64, 4)))
    with torch.no_grad():
        model[2].weight.mul_(scale)
    return model


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(64), nn.LayerNorm(64), nn.GroupNorm(4, 64)], ids=str)
@pytest.mark.parametrize(("scale", "expected"), [(1.0, []), (5.0, []), (100.0, ["warning"])])
def test_what_is_far_too_large_for_its_norm_is_found(norm, scale, expected):
    assert severities("SZ408", net(scale, norm), X, goal) == expected


def test_the_pace_goes_as_the_inverse_square_of_the_scale():
    """Twice as large moves a quarter as far: the closed form behind the rule."""
    one, two = (ask("SZ408", net(scale), X, goal)[0].value for scale in (200.0, 400.0))
    assert two / one == pytest.approx(4.0, rel=0.01)


def test_place_scale_and_fix():
    model = net(100.0)
    (finding,) = ask("SZ408", model, X, goal)
    assert finding.where == ("2.weight",)
    assert "141 times" in finding.message or "140 times" in finding.message or "142 times" in finding.message
    stepzero.fix_(model, stepzero.check(model, X, goal))
    assert severities("SZ408", model, X, goal) == []


# -- traps ----------------------------------------------------------------------------------------------------------


def test_without_a_norm_other_rules_judge_the_scale():
    assert severities("SZ408", net(100.0, nn.Identity()), X, goal) == []


def test_a_weight_that_is_too_small_grows_by_itself():
    assert severities("SZ408", net(1e-3), X, goal) == []


def test_adaptive_optimizers_leave_a_note():
    model = net(100.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    assert severities("SZ408", model, X, goal, optimizer=optimizer) == ["info"]


def test_frozen_weights_are_not_judged():
    model = net(100.0)
    model[2].weight.requires_grad_(False)
    assert severities("SZ408", model, X, goal) == []


class Equalised(nn.Module):
    """Weights of size 1 and the law as a factor in the forward pass."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, 1024, generator=generator(3)))

    def forward(self, x):
        return F.linear(x, self.weight) * 1024**-0.5


def test_a_factor_in_the_forward_pass_does_what_the_law_does():
    model = nn.Sequential(nn.Linear(32, 1024), nn.ReLU(), Equalised(), nn.LayerNorm(64), nn.Linear(64, 4))
    assert severities("SZ408", model, X, goal) == []


def test_weights_that_are_computed_from_others_are_not_judged():
    model = net()
    model[2] = nn.utils.parametrizations.weight_norm(model[2])
    with torch.no_grad():
        model[2].parametrizations.weight.original0.mul_(1000)
    assert severities("SZ408", model, X, goal) == []
