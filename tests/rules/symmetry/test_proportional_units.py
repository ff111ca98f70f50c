import pytest
from torch import nn

from tests.probe.observing import seeded
from tests.probe.planting import X, copied, square, stack
from tests.rules.ask import ask, severities

WIDE = X.double()


def said(model, batch=WIDE, **options):
    return severities("SZ204", model, batch, square, **options)


def multiples(factor, count=1, phi=nn.ReLU, width=8):
    """Units ``width - count`` and up are ``factor`` times unit 0 and its followers."""
    model = stack(6, width, 4, 3, phi=phi).double()
    model[0].bias.data.abs_()
    for unit in range(count):
        copied(model, 0, unit, width - count + unit, factor)
    return model


@pytest.mark.parametrize("optimizer", [None, "SGD", "Adam"])
@pytest.mark.parametrize("phi", [nn.Tanh, nn.Softsign, nn.Identity])
def test_mirrored_units_behind_an_odd_activation_are_an_error_under_every_optimizer(phi, optimizer):
    model = multiples(-1.0, phi=phi)
    (finding,) = ask("SZ204", model, WIDE, square, optimizer=optimizer)
    assert (finding.severity, finding.value) == ("error", 7 / 8)
    assert "stay mirrored for ever" in finding.message


@pytest.mark.parametrize(
    ("optimizer", "expected"), [(None, "warning"), ("SGD", "warning"), ("Adam", "info"), ("AdamW", "info")]
)
@pytest.mark.parametrize("factor", [3.0, 0.1])
def test_positive_multiples_behind_a_relu_depend_on_the_optimizer(factor, optimizer, expected):
    assert said(multiples(factor), optimizer=optimizer) == [expected]


@pytest.mark.parametrize(("count", "expected"), [(2, "warning"), (4, "warning"), (5, "error")])
def test_more_than_half_of_a_layer_is_an_error_under_gradient_descent(count, expected):
    model = stack(6, 8, 4, 3, phi=nn.ReLU).double()
    model[0].bias.data.abs_()
    for unit in range(1, count + 1):
        copied(model, 0, 0, unit, 1.5 + unit)
    assert said(model) == [expected]


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [-1.0, -3.0])
def test_rows_of_opposite_sign_behind_a_relu_are_silent(factor):
    """Mirrored, looks-linear and concatenated ReLU."""
    assert said(multiples(factor, count=4)) == []


def test_mirrored_rows_with_other_columns_are_silent():
    model = multiples(-1.0, phi=nn.Tanh)
    model[2].weight.data[0, 7] += 0.1
    assert said(model) == []


def test_a_multiple_behind_tanh_is_silent():
    assert said(multiples(2.0, phi=nn.Tanh)) == []


@pytest.mark.parametrize("inputs", [1, 2, 3])
@pytest.mark.parametrize("phi", [nn.ReLU, nn.Tanh])
def test_few_inputs_and_zero_biases_are_silent(inputs, phi):
    """Behind a ReLU every unit of one input is a multiple of one of two; their columns are not."""
    model = stack(inputs, 64, 64, 3, phi=phi)
    for layer in model[::2]:
        nn.init.zeros_(layer.bias)
    assert said(model, seeded(24, inputs)) == []


def test_twins_are_told_by_their_own_rule():
    assert said(multiples(1.0)) == []
