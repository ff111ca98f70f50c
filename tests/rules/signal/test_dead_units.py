import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.rules.ask import ask, generator, he, reasons, severities

X = torch.randn(64, 32, generator=generator(7))


def mlp(dead, phi=None, units=100):
    """32-100-4 with ``dead`` units pushed far below zero."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, units), phi or nn.ReLU(), nn.Linear(units, 4))
    with torch.no_grad():
        model[0].bias[:dead] = -50.0
    return model


@pytest.mark.parametrize(
    ("dead", "expected"), [(0, []), (15, []), (30, ["warning"]), (55, ["warning"]), (65, ["error"]), (100, ["error"])]
)
def test_share_above_chance_decides(dead, expected):
    assert severities("SZ305", mlp(dead), X) == expected


def test_message_counts_units_and_says_what_chance_explains():
    (finding,) = ask("SZ305", mlp(30), X)
    assert finding.where == ("0.weight", "0.bias")
    assert "30 of 100 units of relu are off at all 64 positions" in finding.message
    assert (finding.value, finding.unit) == (pytest.approx(0.3), "share of units")


@pytest.mark.parametrize(
    ("phi", "bias"), [(nn.ReLU6(), -50.0), (nn.ReLU6(), 50.0), (nn.Hardswish(), -50.0), (nn.GELU(), -500.0)]
)
def test_both_flat_sides_of_clipped_units_count(phi, bias):
    model = mlp(0, phi)
    nn.init.constant_(model[0].bias, bias)
    assert severities("SZ305", model, X) == ["error"]


@pytest.mark.parametrize("phi", [nn.Tanh(), nn.Sigmoid(), nn.LeakyReLU(), nn.ELU(), nn.Softplus()])
def test_activations_without_a_dead_side_are_silent(phi):
    assert severities("SZ305", mlp(60, phi), X) == []


# -- the whole output -----------------------------------------------------------------------------------------------


def test_output_rectifier_that_is_negative_everywhere():
    model = nn.Sequential(nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1), nn.ReLU())
    nn.init.constant_(model[2].bias, -5.0)
    (finding,) = ask("SZ305", model, X, lambda output: output.square().mean())
    assert (finding.severity, finding.where) == ("error", ("2.weight", "2.bias"))


def test_density_head_that_is_negative_everywhere():
    class Radiance(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(32, 16), nn.Linear(16, 4)
            with torch.no_grad():
                self.head.bias[3] = -5.0

        def forward(self, x):
            raw = self.head(F.silu(self.body(x)))
            return torch.sigmoid(raw[:, :3]) * (1 - torch.exp(-F.relu(raw[:, 3:])))

    assert severities("SZ305", Radiance(), X, lambda output: output.square().mean()) == []  # a gate: not judged

    class Density(Radiance):
        def forward(self, x):
            return F.relu(self.head(F.silu(self.body(x)))[:, 3:])

    assert severities("SZ305", Density(), X, lambda output: (output - 1).square().mean()) == ["error"]


def test_prior_bias_in_the_last_layer_is_silent():
    model = mlp(0)
    nn.init.constant_(model[2].bias, -4.6)
    assert severities("SZ305", model, X) == []


# -- traps ----------------------------------------------------------------------------------------------------------


def test_sparse_inputs_are_silent():
    """One-hot rows: a unit sees its bias at almost every position."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 4))
    assert severities("SZ305", model, F.one_hot(torch.arange(64) % 200, 200).float()) == []


def test_few_positions_are_not_judged():
    assert severities("SZ305", mlp(60), X[:16]) == []
    assert "fewer than 32 positions" in reasons("SZ305", mlp(60), X[:16])[0]
    assert reasons("SZ305", mlp(0, nn.LeakyReLU()), X[:16]) == []


class Experts(nn.Module):
    """Two experts; almost every token goes to the first."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 4)) for _ in range(2))
        nn.init.constant_(self.experts[1][0].bias, -3.0)

    def forward(self, x):
        return torch.cat([self.experts[0](x[:60]), self.experts[1](x[60:])])


def test_parts_the_batch_did_not_select_are_not_judged():
    assert severities("SZ305", Experts(), X) == []


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.up, self.down = nn.Linear(32, 64), nn.Linear(32, 64), nn.Linear(64, 4)
        nn.init.constant_(self.gate.bias, -50.0)

    def forward(self, x):
        return self.down(F.relu(self.gate(x)) * self.up(x))


def test_gates_are_silent():
    assert severities("SZ305", Gated(), X) == []


def test_squeeze_and_excite_bottlenecks_are_silent():
    class Excited(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.down, self.up = nn.Conv2d(3, 16, 3), nn.Linear(16, 4), nn.Linear(4, 16)
            nn.init.constant_(self.down.bias, -50.0)

        def forward(self, x):
            h = self.conv(x)
            return h * torch.sigmoid(self.up(F.relu(self.down(h.mean((2, 3))))))[..., None, None]

    assert severities("SZ305", Excited(), torch.randn(64, 3, 8, 8)) == []


@pytest.mark.parametrize("seed", range(4))
def test_deep_sound_stacks_are_silent_though_their_samples_are_alike(seed):
    """Behind 40 ReLU layers at He's gain almost half of the units are on for all samples or off for all."""
    torch.manual_seed(seed)
    layers = [layer for _ in range(40) for layer in (nn.Linear(128, 128), nn.ReLU())]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    assert severities("SZ305", nn.Sequential(*layers, nn.Linear(128, 4)), torch.randn(64, 128)) == []


def test_a_layer_called_twice_is_dead_where_it_is_dead_both_times():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.head = he(nn.Linear(32, 32)), nn.Linear(32, 4)

        def forward(self, x):
            return self.head(F.relu(self.fc(x)) + F.relu(self.fc(x) - 100.0))

    assert severities("SZ305", Twice(), X) == []


def test_one_rectifier_module_used_for_two_layers():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.c, self.act = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 4), nn.ReLU()
            nn.init.constant_(self.b.bias, -50.0)

        def forward(self, x):
            return self.c(self.act(self.b(self.act(self.a(x)))))

    assert [finding.where[0] for finding in ask("SZ305", Shared(), X)] == ["b.weight"]


def test_zero_gamma_at_the_end_of_a_branch_is_silent():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.norm, self.head = (
                nn.Linear(32, 32),
                nn.Linear(32, 32),
                nn.BatchNorm1d(32),
                nn.Linear(32, 4),
            )
            nn.init.zeros_(self.norm.weight)

        def forward(self, x):
            return self.head(F.relu(x + self.norm(self.b(F.relu(self.a(x))))))

    assert severities("SZ305", Block(), X) == []
