import pytest
import torch
from torch import nn

from tests.probe.observing import seeded
from tests.probe.planting import X, copied, square, stack
from tests.probe.sleeping import TOKENS, Attends, Gated, zeroed
from tests.rules.ask import ask, severities


def said(model, batch=X):
    return severities("SZ203", model, batch, square)


def equal_rows(outputs, *, inputs=6, width=8):
    model = stack(inputs, width, outputs)
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight[:1].expand(width, inputs))
        model[0].bias.fill_(0.1)
    return model


@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5])
def test_it_is_a_warning_while_the_directions_are_fewer_than_half_the_units(outputs):
    (finding,) = ask("SZ203", equal_rows(outputs), X, square)
    assert finding.value == outputs / 8
    assert finding.severity == ("warning" if outputs < 4 else "info")
    assert f"in {outputs} direction" in finding.message
    assert finding.where == ("0.weight",)


def test_some_units_of_a_layer():
    model = stack(6, 8, 1)
    with torch.no_grad():
        model[0].weight[4:] = model[0].weight[:1]
        model[0].bias[4:] = model[0].bias[0]
    (finding,) = ask("SZ203", model, X, square)
    assert "5 of 8 units" in finding.message


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (zeroed(stack(6, 8, 8, 3), "4.weight"), X),  # zero head
        (zeroed(Gated(), "down.weight"), X),  # last layer of a branch
        (zeroed(Attends(), "q.weight"), TOKENS),  # uniform attention
        (nn.Linear(6, 1), X),  # a single output unit
    ],
)
def test_zero_starts_of_their_own_kind_are_silent(model, batch):
    assert said(model, batch) == []


def test_an_adapter_with_one_zero_factor_is_silent():
    from tests.probe.sleeping import Low

    assert said(nn.Sequential(zeroed(Low(), "B"), nn.Tanh(), nn.Linear(8, 3))) == []


def test_one_input_is_silent():
    assert said(equal_rows(1, inputs=1), seeded(24, 1)) == []


def test_copies_for_ever_are_told_by_their_own_rule():
    assert said(copied(stack(6, 8, 8, 3), 0, 1, 4)) == []


def test_constants_are_told_by_theirs():
    model = stack(6, 8, 1)
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.zeros_(model[0].bias)
    assert said(model) == []


def test_equal_rows_with_different_biases_and_random_rows_are_silent():
    model = equal_rows(1)
    with torch.no_grad():
        model[0].bias.copy_(torch.linspace(-1, 1, 8))
    assert said(model) == said(stack(6, 8, 1)) == []


def test_a_frozen_layer_is_silent():
    model = equal_rows(1)
    model[0].requires_grad_(False)
    assert said(model) == []
