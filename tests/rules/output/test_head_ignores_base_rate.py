import math

import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(400, 8, generator=generator(1))
RARE = (torch.arange(400) % 100 == 0).float()[:, None]


def head(bias=0.0):
    torch.manual_seed(0)
    model = nn.Linear(8, 1)
    nn.init.constant_(model.bias, bias)
    return model


def said(model, target=RARE, loss="bce_with_logits"):
    return severities("SZ503", model, X, loss, target)


def test_a_head_at_one_half_is_told_the_value():
    (finding,) = ask("SZ503", head(), X, "bce_with_logits", RARE)
    assert (finding.severity, finding.where) == ("info", ("weight",))
    assert finding.value == pytest.approx(math.log(99), abs=0.2)
    assert "-4.6" in finding.fix.title


def test_probabilities_are_read_as_logits():
    model = nn.Sequential(head(), nn.Sigmoid())
    assert said(model, loss="bce") == ["info"]
    assert said(nn.Sequential(head(-4.6), nn.Sigmoid()), loss="bce") == []


# -- traps ----------------------------------------------------------------------------------------------------------


def test_a_prior_bias_is_silent():
    assert said(head(-4.6)) == []
    assert said(head(-3.0)) == []


def test_common_positives_none_and_other_losses_are_silent():
    assert said(head(), (X[:, :1] > 1.0).float()) == []
    assert said(head(), torch.zeros(400, 1)) == []
    assert said(head(), RARE, "mse") == []
