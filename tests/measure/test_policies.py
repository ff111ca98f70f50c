import math

import pytest
import torch
from torch import nn

from stepzero import api
from stepzero.measure.policies import policies

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))


class Two(nn.Module):
    def __init__(self, choice=False):
        super().__init__()
        self.policy, self.value, self.choice = nn.Linear(8, 5), nn.Linear(8, 1), choice
        nn.init.orthogonal_(self.value.weight)

    def forward(self, x):
        actions = self.policy(x)
        return actions.softmax(-1) if self.choice else actions, self.value(x)


@pytest.mark.parametrize("choice", [False, True])
def test_the_sibling_of_an_orthogonal_value_is_the_policy(choice):
    (found,) = policies(api.trace(Two(choice), X), roundoffs=16)
    assert (found.fact.name, found.is_choice) == ("policy.weight", choice)


@pytest.mark.parametrize("gain", [0.1, 0.5, 1.0])
def test_entropy_is_that_of_the_softmax_to_second_order(gain):
    model = Two(choice=True)
    nn.init.normal_(model.policy.weight, std=gain / 8**0.5)
    nn.init.zeros_(model.policy.bias)
    (found,) = policies(api.trace(model, X), roundoffs=16)
    shares = model(X)[0]
    exact = float(-(shares * shares.log()).sum(-1).mean()) / math.log(5)
    assert found.entropy == pytest.approx(exact, abs=0.03 + gain**4 / 10)
