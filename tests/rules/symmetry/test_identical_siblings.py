import copy

import pytest
import torch
from torch import nn

from tests.probe.observing import Net
from tests.probe.planting import X, square, stack
from tests.rules.ask import ask, severities


def said(model, batch=X):
    return severities("SZ207", model, batch, square)


def together(*modules, mix=sum):
    return Net(lambda self, x: mix(module(x) for module in self.parts), parts=nn.ModuleList(modules))


def copies(count, module=None):
    module = module or stack(6, 8, 3)
    return [module, *(copy.deepcopy(module) for _ in range(count - 1))]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_members_of_an_ensemble_that_are_averaged_are_copies_for_ever(count):
    (finding,) = ask("SZ207", together(*copies(count)), X, square)
    assert (finding.severity, finding.value) == ("error", count)
    assert {"parts.0.0.weight", f"parts.{count - 1}.2.weight"} <= set(finding.where)


def test_experts_behind_a_router_of_equal_rows_are_an_error_and_of_distinct_rows_a_warning():
    def forward(self, x):
        weights = self.router(x).softmax(-1)
        return sum(weights[:, index, None] * part(x) for index, part in enumerate(self.parts))

    for zero, expected in ((True, "error"), (False, "warning")):
        router = nn.Linear(6, 3)
        if zero:
            nn.init.zeros_(router.weight)
            nn.init.zeros_(router.bias)
        assert said(Net(forward, router=router, parts=nn.ModuleList(copies(3)))) == [expected]


def test_the_same_numbers_read_by_different_weights_are_a_warning():
    def forward(self, x):
        return self.one(x) + 2 * self.two(x)

    one, two = copies(2)
    assert said(Net(forward, one=one, two=two)) == ["warning"]


def test_two_critics_of_one_target_are_an_error():
    one, two = copies(2, stack(6, 8, 1))
    model = Net(lambda self, x: torch.cat([self.one(x), self.two(x)], -1), one=one, two=two)
    assert severities("SZ207", model, X, lambda output: (output - 1).square().mean()) == ["error"]


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_copy_is_at_most_a_note(frozen):
    parts = copies(2)
    parts[frozen].requires_grad_(False)
    assert set(said(together(*parts))) <= {"info"}


def test_one_module_called_twice_is_silent():
    part = stack(6, 8, 3)
    assert said(together(part, part)) == []


def test_tied_weights_in_two_modules_are_silent():
    one, two = copies(2)
    for layer in (0, 2):
        two[layer].weight = one[layer].weight
    assert said(together(one, two)) == []


def test_layers_in_series_are_told_elsewhere():
    layer = nn.Linear(6, 6)
    assert said(nn.Sequential(layer, nn.Tanh(), copy.deepcopy(layer))) == []


def test_copies_with_inputs_of_their_own_separate_by_themselves():
    one, two = copies(2)
    model = Net(lambda self, x: self.one(x) + self.two(x.flip(1) ** 2), one=one, two=two)
    assert said(model) == ["warning"]


def test_members_that_are_drawn_are_silent():
    assert said(together(*(stack(6, 8, 3, seed=seed) for seed in range(3)))) == []


def test_constant_members_are_told_by_their_own_rule_or_as_siblings_once():
    parts = [stack(6, 8, 3, seed=seed) for seed in range(2)]
    for part in parts:
        nn.init.constant_(part[0].weight, 0.1)
    assert len(said(together(*parts))) <= 1


def test_one_different_number_frees_one_unit_and_leaves_the_others_copies():
    one, two = copies(2)
    two[2].weight.data[0, 0] += 0.5
    assert said(together(one, two)) == ["error"]
    two[2].weight.data.mul_(2)
    assert said(together(one, two)) == ["warning"]
