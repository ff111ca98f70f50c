import pytest
import torch
from torch import nn

from tests.probe.planting import X, copied, lumped, square, stack
from tests.rules.ask import ask, severities

WIDE = X.double()


def said(model, batch=WIDE, **options):
    return severities("SZ202", model, batch, square, **options)


@pytest.mark.parametrize("seed", range(3))
def test_a_full_rank_matrix_can_hide_them(seed):
    model = lumped(seed)
    assert int(torch.linalg.matrix_rank(model[2].weight)) == 6
    found = {finding.where: finding for finding in ask("SZ202", model, WIDE, square)}
    finding = found["2.weight",]
    assert (finding.severity, finding.value) == ("error", 2 / 6)
    assert "2 different units of 6: units 0 to 2, 3 to 5" in finding.message


ADAM = torch.optim.Adam
ONE = [nn.Parameter(torch.ones(1))]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (torch.optim.SGD(ONE, lr=0.1, weight_decay=0.1), "error"),
        (ADAM(ONE), "error"),
        (torch.optim.AdamW(ONE, weight_decay=0.1), "error"),
        (ADAM(ONE, weight_decay=0.1, decoupled_weight_decay=True), "error"),
        (ADAM(ONE, weight_decay=0.1), "warning"),
        (torch.optim.RMSprop(ONE, weight_decay=0.1), "warning"),
        (torch.optim.Adagrad(ONE, weight_decay=0.1), "warning"),
    ],
)
def test_what_breaks_equal_sums_lowers_it(optimizer, expected):
    """The table of theorem 2."""
    found = ask("SZ202", lumped(), WIDE, square, optimizer=optimizer)
    assert {finding.severity for finding in found} == {expected}
    assert all(("weight decay 0.1 in the gradient" in finding.message) == (expected == "warning") for finding in found)


@pytest.mark.parametrize(("after", "expected"), [(3, "warning"), (-1, "error")])
def test_dropout_on_the_units_lowers_it(after, expected):
    layers = list(lumped())
    layers.insert(after + 1, nn.Dropout(0.2))
    name = ("2.weight",) if after == 3 else ("3.weight",)
    found = {finding.where: finding.severity for finding in ask("SZ202", nn.Sequential(*layers), WIDE, square)}
    assert found[name] == expected


def test_twins_are_told_by_their_own_rule():
    assert said(copied(stack(6, 8, 8, 3).double(), 0, 1, 4)) == []


def test_fixed_averages_are_silent():
    """A pooling written as a matrix without a gradient."""
    model = stack(6, 6, 6, 3).double()
    with torch.no_grad():
        model[2].weight.copy_(torch.eye(2).repeat_interleave(3, 0).repeat_interleave(3, 1) / 3)
        model[2].bias.zero_()
    model[2].requires_grad_(False)
    assert said(model) == []


@pytest.mark.parametrize("change", [lambda m: m[2].weight[0, 0].add_(1e-3), lambda m: m[4].weight[0, 1].add_(1e-3)])
def test_one_changed_sum_frees_the_block(change):
    model = lumped()
    with torch.no_grad():
        change(model)
    found = {finding.where: finding.value for finding in ask("SZ202", model, WIDE, square)}
    assert found.get(("2.weight",), 1.0) > 2 / 6


def test_random_weights_are_silent():
    assert said(stack(6, 6, 6, 2).double()) == []
