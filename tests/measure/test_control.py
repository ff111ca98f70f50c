"""The matched control's values: by the consumer's nonlinearity and the true fan, told from use and not from shape."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure.control import Law, laws
from tests.probe.observing import Net, seeded
from tests.probe.planting import square
from tests.probe.sleeping import Low, Rezero

X = seeded(32, 12)


def law_of(model, batch=X):
    return laws(trace(model, batch, square))


@pytest.mark.parametrize(("phi", "second"), [(nn.ReLU, 0.5), (nn.Identity, 1.0), (nn.LeakyReLU, (1 + 1e-4) / 2)])
def test_weights_keep_the_second_moment_behind_their_activation(phi, second):
    """gain^2 E[phi(z)^2] = 1 for a unit Gaussian z; closed forms of the halves of a Gaussian."""
    found = law_of(nn.Sequential(nn.Linear(12, 20), phi(), nn.Linear(20, 3)))
    assert found["0.weight"].std == pytest.approx(math.sqrt(1 / second / 12), rel=1e-3)
    assert found["2.weight"].std == pytest.approx(20**-0.5)


@pytest.mark.parametrize("phi", [nn.Tanh, nn.GELU, nn.SiLU, nn.ReLU])
def test_a_network_drawn_by_its_laws_carries_the_signal(phi):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 400), phi(), nn.Linear(400, 400), phi(), nn.Linear(400, 400))
    batch = torch.randn(64, 200)
    found = law_of(model, batch)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(found[name].mean + found[name].std * torch.randn(parameter.shape))
        ratio = float(model(batch).square().mean()) / float(batch.square().mean())
    assert 0.25 < ratio < 2  # a saturating activation settles below the second moment it is given


def test_biases_are_zero_and_gains_one():
    model = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.LayerNorm(8), nn.Linear(8, 3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.3)
    found = law_of(model)
    assert {name for name, law in found.items() if law == Law(0.0, 0.0)} == {"0.bias", "1.bias", "2.bias", "3.bias"}
    assert {name for name, law in found.items() if law == Law(1.0, 0.0)} == {"1.weight", "2.weight"}


def test_the_fan_is_read_from_the_multiplication():
    def forward(self, x):
        h = torch.einsum("bi,ihe->bhe", x, self.heads)
        return F.conv1d(h, self.grouped, groups=2).flatten(1) @ self.last

    shapes = {"heads": (12, 4, 6), "grouped": (8, 2, 3), "last": (32, 5)}
    found = law_of(Net(forward, **{name: seeded(*shape) for name, shape in shapes.items()}))
    assert found["heads"].std == pytest.approx(12**-0.5)
    assert found["grouped"].std == pytest.approx(6**-0.5)
    assert found["last"].std == pytest.approx(32**-0.5)


def test_tables_have_unit_variance():
    found = law_of(nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 3)), torch.arange(9))
    assert found["0.weight"] == Law(0.0, 1.0)


def test_a_zero_gate_is_drawn_as_one():
    assert law_of(Rezero(1), seeded(8, 6))["alpha.0"] == Law(1.0, 0.0)


def test_a_value_behind_a_map_is_left_alone_unless_it_is_zero():
    """A time constant or a temperature may mean something that no law knows."""

    def forward(self, x):
        return self.fc(x) * torch.exp(-self.rate)

    assert "rate" not in law_of(Net(forward, fc=nn.Linear(12, 3), rate=torch.full((3,), 0.2)))
    assert law_of(Net(forward, fc=nn.Linear(12, 3), rate=torch.zeros(3)))["rate"] == Law(1.0, 0.0)


def test_both_factors_of_an_adapter_have_a_law():
    found = law_of(Low(), seeded(8, 6))
    assert (found["A"].std, found["B"].std) == (pytest.approx(6**-0.5), pytest.approx(2**-0.5))


def test_what_nobody_reads_has_none():
    model = Net(lambda self, x: self.fc(x), fc=nn.Linear(12, 3), idle=nn.Linear(3, 3))
    assert set(law_of(model)) == {"fc.weight", "fc.bias"}


def test_tied_weights_have_the_law_of_their_first_use():
    model = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 9, bias=False))
    model[1].weight = model[0].weight
    assert set(law_of(model, torch.arange(9))) == {"0.weight"}
