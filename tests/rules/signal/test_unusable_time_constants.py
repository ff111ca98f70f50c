import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(4, 24, 16, generator=generator(1))


def raw(tau):
    """What softplus maps to 1 / tau."""
    return torch.log(torch.expm1(1 / torch.as_tensor(tau, dtype=torch.float32)))


class Selective(nn.Module):
    """A state-space layer whose step size follows the input."""

    def __init__(self, bias, rates=None, *, is_inplace=False):
        super().__init__()
        torch.manual_seed(0)
        self.inp, self.out = nn.Linear(16, 32), nn.Linear(16, 4)
        nn.init.normal_(self.inp.weight, std=0.02)
        nn.init.zeros_(self.inp.bias)
        self.bias, self.log_rate = nn.Parameter(bias), nn.Parameter((torch.ones(16) if rates is None else rates).log())
        self.is_inplace = is_inplace

    def forward(self, x):
        u, step = self.inp(x).chunk(2, -1)
        step = F.softplus(step + self.bias)
        h = torch.zeros_like(u[:, 0])
        for t in range(x.shape[1]):
            keep = torch.exp(-torch.exp(self.log_rate) * step[:, t])
            h = h.mul(keep).add_(u[:, t]) if self.is_inplace else h * keep + u[:, t]
        return self.out(h)


class Leaky(nn.Module):
    """A layer of leaky integrators with a decay of their own."""

    def __init__(self, raw, decay, steps=24):
        super().__init__()
        self.raw, self.out, self.decay, self.steps = raw, nn.Linear(16, 4), decay, steps

    def forward(self, x):
        h = torch.zeros_like(x[:, 0])
        for t in range(self.steps):
            h = self.decay(self.raw) * h + x[:, t]
        return self.out(h)


def said(model, x=X):
    return severities("SZ318", model, x)


@pytest.mark.parametrize("is_inplace", [False, True])
def test_a_placeholder_of_ones_forgets_at_once(is_inplace):
    rates = torch.arange(1.0, 17.0)
    (finding,) = ask("SZ318", Selective(torch.ones(16), rates, is_inplace=is_inplace), X)
    assert finding.severity == "warning"
    assert {"bias", "log_rate"} <= set(finding.where)
    assert finding.value == pytest.approx(1 / math.log1p(math.e), rel=0.05)


def test_the_law_of_the_time_constants_is_silent():
    assert said(Selective(raw(torch.logspace(1, 3, 16)))) == []


def test_between_one_step_and_two_is_a_note():
    assert said(Selective(torch.zeros(16))) == ["info"]


@pytest.mark.parametrize("decay", [torch.sigmoid, lambda raw: torch.exp(-torch.exp(raw)), lambda raw: raw])
def test_decays_of_their_own_that_are_all_equal(decay):
    assert said(Leaky(nn.Parameter(torch.full((16,), 0.5)), decay)) != []


def test_a_decay_of_exactly_one_forgets_nothing():
    (finding,) = ask("SZ318", Leaky(nn.Parameter(torch.full((16,), -torch.inf)), lambda raw: torch.exp(-raw.exp())), X)
    assert "forget nothing" in finding.message


# -- traps ----------------------------------------------------------------------------------------------------------


def test_one_number_for_all_channels_is_a_choice():
    assert said(Leaky(nn.Parameter(torch.tensor(3.0)), torch.sigmoid)) == []
    assert said(Leaky(torch.full((16,), 0.9), lambda raw: raw)) == []


def test_spread_decays_are_silent():
    assert said(Leaky(nn.Parameter(torch.linspace(0.5, 4.0, 16)), torch.sigmoid)) == []


def test_very_long_memories_are_silent():
    assert said(Selective(raw(torch.logspace(3, 4, 16)))) == []


def test_a_residual_stack_is_no_recurrence():
    class Highway(nn.Module):
        def __init__(self):
            super().__init__()
            self.scales = nn.ParameterList([torch.full((16,), 0.1) for _ in range(6)])
            self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(6)])

        def forward(self, x):
            for scale, layer in zip(self.scales, self.layers, strict=True):
                x = scale * x + layer(x)
            return x

    assert said(Highway(), X[:, 0]) == []


def test_gates_are_left_to_the_rule_for_gates():
    class Gated(Selective):
        def forward(self, x):
            u, step = self.inp(x).chunk(2, -1)
            h = torch.zeros_like(u[:, 0])
            for t in range(x.shape[1]):
                h = torch.sigmoid(step[:, t] - 3) * h + u[:, t]
            return self.out(h)

    assert said(Gated(torch.zeros(16))) == []


def test_two_steps_are_too_few_to_tell():
    assert said(Leaky(nn.Parameter(torch.full((16,), 0.5)), torch.sigmoid, steps=2)) == []
