"""What a check covered."""

import torch
from torch import nn

from stepzero import rules
from stepzero.api import trace
from stepzero.core.trace import Trace
from stepzero.measure.coverage import coverage


def of(model, batch=None):
    seen = trace(model, torch.ones(4, 3) if batch is None else batch)
    return coverage(seen, rules.ALL, [], [])


def test_everything_was_looked_at():
    found = of(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    assert (found.weighted_checked, found.weighted_total) == (2, 2)
    assert (found.parameters_checked, found.parameters_total) == (4, 4)
    assert found.incomplete == ()


def test_without_a_forward_the_reason_is_given():
    found = coverage(Trace(model="net", conditions=("it holds no memory",)), rules.ALL, [], [])
    assert [(each.what, each.why) for each in found.incomplete] == [("forward", "it holds no memory")]


def test_no_rule_is_no_judgement():
    seen = trace(nn.Linear(3, 2), torch.ones(4, 3))
    assert "no rule" in coverage(seen, (), [], []).incomplete[0].why


def test_frozen_models_cannot_train():
    assert "frozen" in of(nn.Linear(3, 2).requires_grad_(False)).incomplete[0].why


def test_no_parameters():
    assert "no parameters" in of(nn.ReLU()).incomplete[0].why
