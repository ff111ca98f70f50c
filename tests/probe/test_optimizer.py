"""What an optimizer says about the first updates, in whatever form it is told."""

import pytest
import torch
from torch import nn

from stepzero.core.errors import TargetError
from stepzero.core.optimizer import OptimizerFact
from stepzero.probe.optimizer import made_for, optimizer_fact

WEIGHTS = [nn.Parameter(torch.ones(2, 2))]


def test_none_was_told():
    assert optimizer_fact(None, None) == OptimizerFact()
    assert optimizer_fact(None, 0.3) == OptimizerFact(lr=0.3)


@pytest.mark.parametrize(
    ("kind", "adaptive"),
    [
        (torch.optim.SGD, False),
        (torch.optim.ASGD, False),
        (torch.optim.Adam, True),
        (torch.optim.AdamW, True),
        (torch.optim.NAdam, True),
        (torch.optim.RMSprop, True),
        (torch.optim.Adagrad, True),
        (torch.optim.Adadelta, True),
        (torch.optim.Adamax, True),
        (torch.optim.Rprop, True),
        (torch.optim.Adafactor, True),
    ],
)
def test_adaptive_is_what_moves_as_far_for_a_gradient_a_thousand_times_as_large(kind, adaptive):
    """The fact is checked against two first updates of the optimizer itself."""

    def first_update(factor):
        weight = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
        optimizer = kind([weight], lr=1e-3)
        weight.grad = factor * torch.tensor([[1.0, 2.0], [-1.0, 0.5]]).double()
        optimizer.step()
        return float((weight.detach() - 1).abs().max())

    assert (first_update(1e3) < 10 * first_update(1.0)) == adaptive
    for told in (kind(WEIGHTS, lr=1e-3), kind, kind.__name__, kind.__name__.lower()):
        assert optimizer_fact(told, None).is_adaptive == adaptive


def test_radam_adapts_after_its_first_steps():
    assert optimizer_fact(torch.optim.RAdam, None).is_adaptive


@pytest.mark.parametrize(
    ("optimizer", "coupled"),
    [
        (torch.optim.SGD(WEIGHTS, lr=0.1, weight_decay=0.2), 0.2),
        (torch.optim.Adam(WEIGHTS, weight_decay=0.2), 0.2),
        (torch.optim.Adam(WEIGHTS), 0.0),
        (torch.optim.Adam(WEIGHTS, weight_decay=0.2, decoupled_weight_decay=True), 0.0),
        (torch.optim.AdamW(WEIGHTS, weight_decay=0.2), 0.0),
        (torch.optim.NAdam(WEIGHTS, weight_decay=0.2), 0.2),
        (torch.optim.NAdam(WEIGHTS, weight_decay=0.2, decoupled_weight_decay=True), 0.0),
        (torch.optim.RMSprop(WEIGHTS, weight_decay=0.2), 0.2),
    ],
)
def test_decay_is_coupled_when_it_enters_the_gradient(optimizer, coupled):
    assert optimizer_fact(optimizer, None).coupled_decay == coupled


def test_rate_and_eps_come_from_the_first_group_unless_a_rate_is_given():
    groups = [{"params": WEIGHTS, "lr": 0.3}, {"params": [nn.Parameter(torch.ones(1))], "lr": 0.1}]
    optimizer = torch.optim.Adam(groups, lr=0.2, eps=1e-6)
    assert optimizer_fact(optimizer, None) == OptimizerFact("Adam", 0.3, 1e-6, is_adaptive=True)
    assert optimizer_fact(optimizer, 0.5).lr == 0.5
    assert optimizer_fact(torch.optim.SGD(WEIGHTS, lr=0.1), None).eps is None


@pytest.mark.parametrize("told", [3, {"lr": 0.1}, [WEIGHTS[0]], nn.Linear(2, 2)])
def test_anything_else_is_refused_with_what_to_pass(told):
    with pytest.raises(TargetError, match=rf"optimizer: expected .* got {type(told).__name__}; pass for example"):
        optimizer_fact(told, None)


def test_rates_of_their_own_are_told_by_name():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.3}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    fact = optimizer_fact(optimizer, None, model)
    assert dict(fact.rates) == {"1.weight": 0.3, "1.bias": 0.3, "2.weight": 0.0}
    assert [fact.rate_of(name) for name in ("0.weight", "1.bias", "2.weight")] == [0.1, 0.3, 0.0]
    assert optimizer_fact(optimizer, 0.01, model).rate_of("1.bias") == pytest.approx(0.03)


def test_a_function_of_the_model_is_called_and_everything_else_is_left():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    assert isinstance(made_for(lambda each: torch.optim.SGD(each.parameters(), lr=0.1), model), torch.optim.SGD)
    for given in (None, "adam", torch.optim.Adam, optimizer):
        assert made_for(given, model) is given


def test_a_function_that_returns_no_optimizer_is_told_so():
    with pytest.raises(TargetError, match=r"returns a torch\.optim\.Optimizer, got int"):
        made_for(lambda _: 3, nn.Linear(2, 2))


def test_groups_are_compared_with_the_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].bias.requires_grad_(False)
    listed = [model[0].weight, model[1].bias, nn.Parameter(torch.ones(3))]
    groups = optimizer_fact(torch.optim.SGD(listed, lr=0.1), None, model).groups
    assert groups is not None
    assert (groups.held, groups.foreign, groups.are_masters) == (2, 1, False)
    assert (groups.missing, groups.idle, groups.twice) == (("0.bias", "1.weight"), ("1.bias",), ())
    assert optimizer_fact("sgd", None, model).groups is None
