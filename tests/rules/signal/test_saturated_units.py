import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 32, generator=generator(7))


def mlp(phi, share=1.0, std=3.0, bias=0.0):
    """32-100-100-4; ``share`` of the units of the second layer get weights of standard deviation ``std``."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 100), nn.Tanh(), nn.Linear(100, 100), phi, nn.Linear(100, 4))
    with torch.no_grad():
        count = round(100 * share)
        model[2].weight[:count] = std * torch.randn(count, 100, generator=generator())
        model[2].bias.add_(bias)
    return model


@pytest.mark.parametrize(("share", "expected"), [(0.1, []), (0.35, ["warning"])])
def test_share_of_units_decides(share, expected):
    assert severities("SZ303", mlp(nn.Tanh(), share), X) == expected


def test_error_needs_half_the_units_and_a_closed_gradient():
    (finding,) = ask("SZ303", mlp(nn.Tanh(), 1.0, std=100.0), X)
    assert (finding.severity, finding.evidence, finding.where) == ("error", "gradient", ("2.weight", "2.bias"))
    assert finding.value > 0.9
    (finding,) = ask("SZ303", mlp(nn.Tanh(), 0.7, std=3.0), X)
    assert (finding.severity, finding.evidence) == ("warning", "value")  # most are flat, and a good deal still passes


@pytest.mark.parametrize("phi", [nn.Tanh(), nn.Sigmoid(), nn.Softsign(), nn.Hardtanh()])
def test_a_default_start_is_silent(phi):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 100), phi, nn.Linear(100, 100), phi, nn.Linear(100, 4))
    assert severities("SZ303", model, X) == []


@pytest.mark.parametrize("phi", [nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.SiLU(), nn.ELU(), nn.Softplus()])
def test_rectifiers_are_another_rule(phi):
    assert severities("SZ303", mlp(phi), X) == []


class Gated(nn.Module):
    """Sigmoid and tanh far out, but only as factors: an unrolled memory cell and a gated unit."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.i, self.f, self.o, self.g, self.value, self.head = (nn.Linear(32, 32) for _ in range(6))
        for layer in (self.i, self.f, self.o, self.g):
            nn.init.normal_(layer.weight, std=5.0, generator=generator())

    def forward(self, x):
        c = torch.zeros_like(x)
        for _ in range(3):
            c = torch.sigmoid(self.f(x)) * self.value(x) + torch.sigmoid(self.i(x)) * torch.tanh(self.g(x))
            x = torch.sigmoid(self.o(x)) * torch.tanh(10 * c)
        return self.head(x)


class Excited(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.down, self.up, self.head = (
            nn.Conv2d(3, 16, 3),
            nn.Linear(16, 4),
            nn.Linear(4, 16),
            nn.Linear(16, 4),
        )
        nn.init.normal_(self.down.weight, std=50.0, generator=generator())
        nn.init.normal_(self.up.weight, std=50.0, generator=generator())

    def forward(self, x):
        h = self.conv(x)
        gate = torch.sigmoid(self.up(torch.tanh(self.down(h.mean((2, 3))))))
        return self.head((h * gate[..., None, None]).mean((2, 3)))


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v = (nn.Linear(32, 32) for _ in range(3))
        nn.init.normal_(self.q.weight, std=5.0, generator=generator())

    def forward(self, x):
        x = x.view(8, 8, 32)
        return torch.sigmoid(self.q(x) @ self.k(x).mT) @ self.v(x)


@pytest.mark.parametrize("model", [Gated(), Attending()])
def test_gates_and_attention_weights_are_silent(model):
    assert severities("SZ303", model, X) == []


def test_squeeze_and_excite_is_silent():
    assert severities("SZ303", Excited(), torch.randn(16, 3, 8, 8)) == []


def test_prior_bias_of_a_sigmoid_that_feeds_the_loss_is_silent():
    model = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 8), nn.Sigmoid())
    nn.init.constant_(model[2].bias, -4.6)
    target = torch.zeros(64, 8)
    assert severities("SZ303", model, X, lambda output: nn.functional.binary_cross_entropy(output, target)) == []


def test_a_last_tanh_is_judged():
    model = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh())
    nn.init.normal_(model[2].weight, std=50.0, generator=generator())
    assert severities("SZ303", model, X) != []


def test_activation_written_out_by_hand_is_no_saturation():
    class Written(nn.Module):
        def forward(self, x):
            return 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.045 * x**3)))

    assert severities("SZ303", mlp(Written(), 1.0, std=3.0), X) == []


def test_fewer_than_eight_positions_are_not_judged():
    assert severities("SZ303", mlp(nn.Tanh(), 1.0, std=100.0), X[:4]) == []


def test_layers_behind_each_other_are_told_apart():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight, std=5.0, generator=generator())
    assert [finding.where[0] for finding in ask("SZ303", model, X)] == ["0.weight", "2.weight"]
