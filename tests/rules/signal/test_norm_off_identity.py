import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 32, generator=generator(7))


def plain(norm=None, phi=None):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 64), norm or nn.BatchNorm1d(64), phi or nn.ReLU(), nn.Linear(64, 4))


def filled(value, **parts):
    model = plain(**parts)
    nn.init.constant_(model[1].weight, value)
    return model


@pytest.mark.parametrize(
    ("value", "expected"), [(1.0, []), (0.6, []), (1.9, []), (0.4, ["warning"]), (2.1, ["warning"]), (-1.0, [])]
)
def test_size_of_the_gain_decides(value, expected):
    assert severities("SZ310", filled(value), X) == expected


@pytest.mark.parametrize("norm", [nn.LayerNorm(64), nn.BatchNorm1d(64), nn.RMSNorm(64), nn.GroupNorm(4, 64)])
def test_every_kind_of_norm(norm):
    (finding,) = ask("SZ310", filled(0.02, norm=norm), X)
    assert (finding.severity, finding.where) == ("warning", ("1.weight",))
    assert "a factor 50 away from 1" in finding.message


@pytest.mark.parametrize("phi", [nn.ReLU(), nn.Tanh(), nn.GELU()])
def test_zero_gain_is_an_error_only_where_it_is_stuck(phi):
    """The oracle: train a few steps and see whether anything in front of the norm has moved."""
    model = filled(0.0, phi=phi)
    before = model[0].weight.clone()
    (said,) = severities("SZ310", model, X, lambda output: (output - X[:, :4]).square().mean())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (model(X) - X[:, :4]).square().mean().backward()
        optimizer.step()
    assert (said == "error") is torch.equal(before, model[0].weight)


def test_gain_and_shift_exchanged():
    model = filled(0.0, phi=nn.Tanh())
    nn.init.ones_(model[1].bias)
    (finding,) = ask("SZ310", model, X)
    assert finding.severity == "error"
    assert "exchanged" in finding.message


def test_gain_drawn_like_a_weight():
    model = plain()
    nn.init.normal_(model[1].weight, 0.0, 0.02, generator=generator())
    assert severities("SZ310", model, X) == ["warning"]
    nn.init.normal_(model[1].weight, 0.0, 1.0, generator=generator())
    (finding,) = ask("SZ310", model, X)
    assert "random signs" in finding.message


def test_gains_spread_around_one_are_silent():
    model = plain()
    for draw in (lambda w: nn.init.normal_(w, 1.0, 0.02), nn.init.uniform_, lambda w: nn.init.uniform_(w, 0.5, 1.5)):
        draw(model[1].weight)
        assert severities("SZ310", model, X) == []


@pytest.mark.parametrize(("value", "expected"), [(0.0, []), (1.0, []), (-0.5, []), (3.0, ["warning"])])
def test_shift_decides(value, expected):
    model = plain()
    nn.init.constant_(model[1].bias, value)
    assert severities("SZ310", model, X) == expected


def test_running_variance_of_zero():
    model = plain()
    model[1].running_var.zero_()
    (finding,) = ask("SZ310", model, X)
    assert finding.where == ("1.running_var",)


# -- traps ----------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, phi_inside=False, value=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.norm, self.head = nn.Linear(32, 32), nn.Linear(32, 32), nn.LayerNorm(32), nn.Linear(32, 4)
        self.phi_inside = phi_inside
        nn.init.constant_(self.norm.weight, value)

    def forward(self, x):
        branch = self.norm(self.b(torch.relu(self.a(x))))
        return self.head(x + (torch.relu(branch) if self.phi_inside else branch))


@pytest.mark.parametrize("value", [0.0, 1e-4, 0.2])
def test_last_norm_of_a_branch_is_silent(value):
    assert severities("SZ310", Block(value=value), X) == []


def test_last_norm_of_a_branch_before_a_rectifier_is_stuck():
    assert severities("SZ310", Block(phi_inside=True), X) == ["error"]


def test_layer_scale_is_silent():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.fc, self.gamma = nn.LayerNorm(32), nn.Linear(32, 32), nn.Parameter(torch.full((32,), 1e-5))

        def forward(self, x):
            return x + self.gamma * self.fc(self.norm(x))

    assert severities("SZ310", nn.Sequential(Scaled(), nn.Linear(32, 4)), X) == []


def test_gain_stored_as_an_offset_is_silent():
    class Offset(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(32))

        def forward(self, x):
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)

    assert severities("SZ310", nn.Sequential(nn.Linear(32, 32), Offset(), nn.Linear(32, 4)), X) == []


def test_loaded_statistics_are_silent():
    model = plain()
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.1, 9.0)
    assert severities("SZ310", model, X) == []


def test_a_shared_gain_is_said_once():
    norm = nn.LayerNorm(64)
    nn.init.zeros_(norm.weight)
    model = nn.Sequential(nn.Linear(32, 64), norm, nn.Tanh(), nn.Linear(64, 64), norm, nn.Tanh(), nn.Linear(64, 4))
    assert len(ask("SZ310", model, X)) == 1
