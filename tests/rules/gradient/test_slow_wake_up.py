import math

import pytest
import torch
from torch import nn

from tests.probe.planting import X, square, stack
from tests.probe.sleeping import TOKENS, Attends, Rezero, only_biases, zeroed
from tests.rules.ask import ask, severities

ONE = [nn.Parameter(torch.ones(1))]
SGD = torch.optim.SGD(ONE, lr=0.05)


def said(model, batch=X, **options):
    return severities("SZ404", model, batch, square, **options)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [(2, []), (3, ["info"]), (4, ["warning"]), (5, ["warning"]), (6, ["error"])],
)
def test_gradient_descent_squares_the_delay(layers, expected):
    """lr^(2^(L-1) - 1): at 0.05 it is 1e-4 for 3 layers, 8e-10 for 4, and below float32 for 6."""
    assert said(only_biases(layers), optimizer=SGD) == expected


@pytest.mark.parametrize(
    ("layers", "rate", "expected"),
    [(2, 1e-3, []), (3, 1e-2, ["info"]), (4, 1e-3, ["warning"]), (5, 1e-2, ["warning"]), (5, 1e-3, ["error"])],
)
def test_adam_pays_one_power_a_layer_until_its_eps(layers, rate, expected):
    """rate^(L-1): a note down to a millionth, blocked below a thousandth of eps = 1e-8."""
    assert said(only_biases(layers), optimizer=torch.optim.Adam(ONE, lr=rate)) == expected


def test_the_message_has_step_rate_law_and_size():
    (finding,) = ask("SZ404", only_biases(5), X, square, optimizer=SGD)
    assert finding.where == ("0.weight", "2.weight", "4.weight")
    assert finding.value == pytest.approx(0.05**15)
    assert "0.weight has 4 all-zero weight layers between it and the loss, and only biases" in finding.message
    assert "SGD at learning rate 0.05 first reaches it" in finding.message
    assert f"at step 4 with a gradient of order 0.05^15 = 1e{15 * math.log10(0.05):.0f}" in finding.message


def test_without_an_optimizer_it_is_judged_as_gradient_descent_at_the_reference_rate():
    (finding,) = ask("SZ404", only_biases(4), X, square)
    assert finding.value == pytest.approx(0.01**7)


@pytest.mark.parametrize("layers", [2, 3])
def test_without_an_optimizer_the_pace_is_open(layers):
    """Under Adam such a start learns soon, under gradient descent it may take 25 times as long."""
    assert said(only_biases(layers)) == ["warning"]


def test_one_zero_layer_below_random_ones_is_no_such_start():
    assert said(zeroed(stack(6, 8, 8, 3), "0.weight")) == []
    assert said(zeroed(stack(6, 8, 3), "0.weight")) == []


@pytest.mark.parametrize("lr", [0.3, 0.01])
def test_a_given_rate_counts(lr):
    (finding,) = ask("SZ404", only_biases(4), X, square, lr=lr)
    assert finding.value == pytest.approx(lr**7)


def test_behind_a_relu_too():
    """Units with a bias of 0 or less are lost for good; the layer as a whole is slow all the same."""
    assert said(only_biases(6, nn.ReLU), optimizer=SGD) == ["error"]


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (zeroed(stack(6, 8, 8, 3), "4.weight"), X),
        (zeroed(stack(6, 8, 8, 3), "2.weight"), X),
        (zeroed(Attends(), "q.weight", "o.weight"), TOKENS),
        (zeroed(Rezero(3), "head.weight"), X),
        (stack(6, 8, 8, 8, 8, 3), X),
    ],
)
def test_one_zero_layer_and_chains_of_idioms_are_silent(model, batch):
    assert said(model, batch) == []


def test_zero_layers_without_biases_are_stuck_not_slow():
    model = only_biases(4)
    for layer in model[::2]:
        nn.init.zeros_(layer.bias)
    assert said(model) == []
