import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 12, generator=generator(1))


class Agent(nn.Module):
    """One trunk; the last layers are orthogonal with these gains, or torch's own where there is none."""

    def __init__(self, policy=None, value=1.0, actions=6, apart=False, choice=False, squashed=False):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.other = nn.Linear(12, 64), nn.Linear(12, 64) if apart else None
        self.policy, self.value = nn.Linear(64, actions), nn.Linear(64, 1)
        self.choice, self.squashed = choice, squashed
        nn.init.orthogonal_(self.body.weight, 2**0.5)
        for layer, gain in ((self.policy, policy), (self.value, value)):
            if gain is not None:
                nn.init.orthogonal_(layer.weight, gain)
                nn.init.zeros_(layer.bias)

    def forward(self, state):
        features = torch.tanh(self.body(state))
        actions = self.policy(features)
        actions = torch.log_softmax(actions, -1) if self.choice else torch.tanh(actions) if self.squashed else actions
        return actions, self.value(torch.tanh(self.other(state)) if self.other else features)


def said(model, **options):
    return severities("SZ509", model, X, lambda output: sum(each.square().mean() for each in output), **options)


@pytest.mark.parametrize("squashed", [False, True])
def test_a_policy_that_was_forgotten_beside_an_orthogonal_value(squashed):
    model = Agent(squashed=squashed)
    (finding,) = ask("SZ509", model, X)
    assert (finding.severity, finding.where) == ("warning", ("policy.weight",))
    means = model.policy(torch.tanh(model.body(X)))
    assert finding.value == pytest.approx(float(means.detach().square().mean().sqrt()), rel=0.2)


def test_the_entropy_of_a_choice_is_measured():
    model = Agent(policy=3.0, choice=True)
    (finding,) = ask("SZ509", model, X)
    logs = model(X)[0].detach()
    share = float(-(logs.exp() * logs).sum(-1).mean()) / torch.log(torch.tensor(6.0))
    assert finding.unit == "of ln n"
    assert finding.value < 0.9
    assert share < 0.9


def test_a_large_gain_of_the_policy_is_found_whatever_made_it():
    assert said(Agent(policy=1.0)) == ["warning"]


def test_the_profile_asks_for_it():
    for apart in (False, True):
        model = Agent(policy=1.0, value=None, apart=apart)
        assert said(model) == []
        assert said(model, profile="rl") == ["warning"]
        assert said(model, profile=["rl"]) == ["warning"]


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [False, True])
def test_a_small_policy_is_silent(choice):
    assert said(Agent(policy=0.01, choice=choice), profile="rl") == []


def test_a_gentle_choice_is_silent():
    assert said(Agent(policy=0.5, choice=True), profile="rl") == []


def test_several_heads_without_a_claim_are_silent():
    assert said(Agent(value=None)) == []
    assert said(Agent(value=0.5)) == []


def test_a_value_head_that_is_drawn_entry_by_entry_claims_nothing():
    for seed in range(20):
        model = Agent(value=None)
        nn.init.normal_(model.value.weight, std=1 / 8, generator=generator(seed))
        assert said(model) == []


def test_a_constant_row_of_norm_one_claims_nothing():
    model = Agent(value=None)
    nn.init.constant_(model.value.weight, 1 / 8)
    assert said(model) == []


def test_a_value_of_other_features_claims_nothing():
    assert said(Agent(apart=True)) == []


def test_layers_in_the_middle_are_no_policies():
    model = nn.Sequential(nn.Linear(12, 64), nn.Tanh(), nn.Linear(64, 6))
    assert severities("SZ509", model, X, profile="rl") == ["warning"] * (said_rms(model) > 0.2)


def said_rms(model):
    return float(model(X).detach().square().mean().sqrt())
