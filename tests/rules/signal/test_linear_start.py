"""Stacks that start as one line, and everything that only looks like it."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.core.control import ControlFact, Draw
from stepzero.core.limits import Limits
from stepzero.core.vector import Vector
from stepzero.measure.linearity import told
from stepzero.rules.signal.linear_start import linear_start
from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 64, generator=generator())


def stack(phi=nn.Tanh, std=1e-3, depth=3, tail=()):
    draw = generator(1)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(64, 64), phi())]
    model = nn.Sequential(*layers, nn.Linear(64, 4), *tail)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std, generator=draw)
            nn.init.zeros_(layer.bias)
    return model


class Block(nn.Module):
    """The second half of a GPT block."""

    def __init__(self, width=64, std=0.02):
        super().__init__()
        self.norm, self.up, self.act, self.down = (
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )
        for layer in (self.up, self.down):
            nn.init.normal_(layer.weight, std=std, generator=generator(2))
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        return x + self.down(self.act(self.up(self.norm(x))))


class Gated(nn.Module):
    """A gated linear unit whose gates all stand near a half."""

    def __init__(self, phi=torch.sigmoid):
        super().__init__()
        self.phi, self.gate, self.value = phi, nn.Linear(64, 64), nn.Linear(64, 64)
        nn.init.normal_(self.gate.weight, std=1e-5)

    def forward(self, x):
        return self.value(x) * self.phi(self.gate(x))


def test_tiny_weights_in_front_of_tanh_are_told_once():
    (finding,) = ask("SZ304", stack(), X)
    assert (finding.severity, finding.where) == ("info", ("0.weight", "2.weight", "4.weight"))
    assert finding.value < finding.limit == Limits().linear_unexplained
    assert "3 of 3 activations" in finding.message
    assert (finding.cause, finding.fix.parameter) == ("wrong-gain", "0.weight")


@pytest.mark.parametrize("phi", [nn.Sigmoid, nn.GELU, nn.SiLU, nn.Softplus, nn.ELU, nn.Mish])
def test_so_are_those_of_other_curves(phi):
    assert severities("SZ304", stack(phi, std=1e-4), X) == ["info"]


@pytest.mark.parametrize("phi", [nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus, nn.ELU])
@pytest.mark.parametrize("std", [1 / 8, 5 / 24, 1.4 / 8])
def test_draws_by_law_are_silent(phi, std):
    assert ask("SZ304", stack(phi, std=std, depth=6), X) == []


@pytest.mark.parametrize("phi", [nn.Tanh, nn.GELU])
def test_torchs_own_draw_is_silent(phi):
    torch.manual_seed(0)
    layers = [layer for _ in range(3) for layer in (nn.Linear(64, 64), phi())]
    assert ask("SZ304", nn.Sequential(*layers, nn.Linear(64, 4)), X) == []


@pytest.mark.parametrize("phi", [nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ReLU6])
def test_rectifiers_bend_at_any_scale(phi):
    assert ask("SZ304", stack(phi, std=1e-4), X) == []


@pytest.mark.parametrize("phi", [torch.sigmoid, torch.tanh, nn.functional.silu])
def test_gates_are_no_layers(phi):
    assert ask("SZ304", nn.Sequential(Gated(phi), Gated(phi), nn.Linear(64, 4)), X) == []


def test_a_constant_input_is_silent():
    assert ask("SZ304", stack(), torch.ones(64, 64)) == []
    assert ask("SZ304", stack(), torch.zeros(64, 64)) == []


def test_few_positions_are_not_judged():
    assert ask("SZ304", stack(), X[:7]) == []
    assert severities("SZ304", stack(), X[:8]) == ["info"]


def test_one_activation_is_no_network():
    assert ask("SZ304", stack(depth=1), X) == []
    assert ask("SZ304", stack(depth=1, tail=[nn.Sigmoid()]), X) == []  # nothing follows the last one
    assert severities("SZ304", stack(depth=2), X) == ["info"]


def test_one_cell_called_often_is_one_layer():
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(64, 64), nn.Linear(64, 4)
            nn.init.normal_(self.inner.weight, std=1e-3)

        def forward(self, x):
            for _ in range(4):
                x = torch.tanh(self.inner(x))
            return self.head(x)

    assert ask("SZ304", Cell(), X) == []


def test_half_of_the_layers_is_not_most():
    model = stack(depth=4)
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight, std=0.2, generator=generator(3))
    assert ask("SZ304", model, X) == []
    nn.init.normal_(model[2].weight, std=1e-3, generator=generator(3))
    (finding,) = ask("SZ304", model, X)
    assert finding.where == ("2.weight", "4.weight", "6.weight")


def _left(z, phi):
    """Share of the responses' variance that the best line leaves, mean over the columns of ``z``."""
    z = z.flatten(0, -2).double()
    z, value = z - z.mean(0), phi(z)
    value = value - value.mean(0)
    left = value - (z * value).mean(0) / z.square().mean(0) * z
    return float((left.square().mean(0) / value.square().mean(0)).mean())


@pytest.mark.parametrize(("std", "expected"), [(0.02, []), (2e-4, ["info"])])
def test_a_transformers_mlp_is_told_as_it_is(std, expected):
    """At 0.02 and width 64 a GELU reads deviations of 0.16 and is far from a line: 1.28 s^2 = 3e-2 are left."""
    blocks, heard = [Block(std=std) for _ in range(2)], []
    for block in blocks:
        block.up.register_forward_hook(lambda module, given, z: heard.append(z.detach()))
    model, batch = nn.Sequential(*blocks, nn.Linear(64, 10)), torch.randn(32, 16, 64, generator=generator(4))
    model(batch)
    measured = [_left(z, nn.functional.gelu) for z in heard]
    shares = [each.unexplained for each in told(trace(model, batch)).operations if each.kind == "activation"]
    for own, direct in zip(shares, measured, strict=True):
        assert direct / 2 < own < 2 * direct
    findings = ask("SZ304", model, batch)
    assert [finding.severity for finding in findings] == expected
    assert all(measured[0] / 2 < finding.value < 2 * measured[0] for finding in findings)


def test_a_transformer_of_torch_is_silent():
    torch.manual_seed(0)
    for phi in ("relu", "gelu"):
        layer = nn.TransformerEncoderLayer(64, 4, 128, activation=phi, batch_first=True)
        assert ask("SZ304", nn.TransformerEncoder(layer, 2), torch.randn(8, 10, 64)) == []


def drawn(record, factor, *, ran=True):
    """The record beside two draws whose gradients are ``factor`` times its own."""
    norms = Vector.of(fact.gradient.norm * factor for fact in record.parameters)
    return replace(record, control=ControlFact(ran=ran, draws=(Draw(1.0, gradients=norms),) * 2))


@pytest.mark.parametrize(("factor", "expected"), [(1.0, "info"), (9.0, "info"), (11.0, "warning"), (1e4, "warning")])
def test_only_a_faint_gradient_makes_it_a_warning(factor, expected):
    record = trace(stack(), X)
    (finding,) = linear_start.judge(drawn(record, factor), Limits())
    assert finding.severity == expected
    assert ("gradient by law" in finding.message) == (expected == "warning")


def test_draws_without_gradients_leave_it_a_note():
    record = trace(stack(), X)
    for changed in (
        drawn(record, 1e4, ran=False),
        replace(record, control=ControlFact(ran=True, draws=(Draw(1.0),) * 2)),
        drawn(record, float("inf")),
    ):
        (finding,) = linear_start.judge(changed, Limits())
        assert finding.severity == "info"
