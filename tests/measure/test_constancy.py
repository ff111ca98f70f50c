import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.constancy import cut, outputs, spread, varies
from tests.probe.observing import Net, seeded
from tests.probe.planting import stack
from tests.probe.sleeping import zeroed

X, ROUNDOFFS = seeded(32, 6), 16.0


def found(model, batch=X):
    return cut(trace(model, batch), ROUNDOFFS)


@pytest.mark.parametrize("layer", [0, 2, 4])
def test_the_first_layer_that_loses_the_difference(layer):
    place = found(zeroed(stack(6, 8, 8, 3), f"{layer}.weight"))
    assert [use.parameter for use in place.operation.uses] == [f"{layer}.weight", f"{layer}.bias"]
    assert place.spread == 0.0


def test_a_network_that_tells_its_samples_apart():
    assert found(stack(6, 8, 8, 3)) is None


def test_what_the_loss_reads_is_the_output_through_views():
    record = trace(nn.Sequential(*stack(6, 8, 4), nn.Unflatten(1, (2, 2))), X)
    (end,) = outputs(record)
    assert [use.parameter for use in end.uses] == ["2.weight", "2.bias"]


def test_one_output_of_two_that_varies_is_enough():
    def forward(self, x):
        h = torch.tanh(self.body(x))
        return self.a(h), self.b(h)

    model = Net(forward, body=nn.Linear(6, 8), a=nn.Linear(8, 3), b=nn.Linear(8, 3))
    assert found(zeroed(model, "a.weight")) is None
    assert found(zeroed(model, "b.weight")) is not None


def test_a_constant_side_input_is_not_the_cut():
    def forward(self, x):
        return self.head(torch.tanh(self.enter(x) + self.side(x * 0.0)))

    model = Net(forward, enter=nn.Linear(6, 8), side=nn.Linear(6, 8), head=nn.Linear(8, 3))
    assert found(model) is None
    assert found(zeroed(model, "head.weight")).operation.uses[0].parameter == "head.weight"


def test_equal_samples_vary_nowhere():
    model = stack(6, 8, 3)
    assert varies(trace(model, X), ROUNDOFFS)
    assert not varies(trace(model, X[:1].repeat(32, 1)), ROUNDOFFS)
    assert not varies(trace(model, X[:1]), ROUNDOFFS)
    assert found(model, X[:1]) is None


def test_spread_is_the_deviation_over_samples_over_the_rms():
    model = stack(6, 8, 3)
    nn.init.ones_(model[2].bias)
    with torch.no_grad():
        z = model(X).double()
    (end,) = outputs(trace(model, X))
    expected = z.var(0).mean().sqrt() / z.square().mean().sqrt()
    assert spread(end) == pytest.approx(float(expected), rel=1e-4)


def test_a_prior_far_larger_than_the_logits_is_no_constant_even_in_bfloat16():
    model = stack(6, 8, 3)
    nn.init.normal_(model[2].weight, std=0.05, generator=torch.Generator().manual_seed(0))
    nn.init.constant_(model[2].bias, -4.6)
    assert found(model) is None
    assert found(model.bfloat16(), X.bfloat16()) is None
