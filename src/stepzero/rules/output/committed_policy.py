"""SZ509."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.policies import Policy, policies


@rule("SZ509", "committed-policy", tier=2, limits=("policy_entropy", "policy_mean", "equality_roundoffs"))
def committed_policy(trace: Trace, limits: Limits) -> Verdict:
    """A policy prefers some actions before it has seen a reward.

    What it finds
    -------------
    The head of a policy whose results are large at the start. Logits of a choice: an entropy below 0.9 of the largest
    one. Means of continuous actions, taken to lie between -1 and 1: an rms above 0.2, a tenth of the range. A head
    is one when `check` was told `profile="rl"`, or when a sibling that reads the same features has one unit and a
    weight of norm exactly 1: the value head of an orthogonal start, whose recipe gives the policy a gain of 0.01.

    Why it matters
    --------------
    The agent sees only what its actions lead to. A policy that is sure of itself at random explores little, and the
    first updates go into unlearning a preference that nothing taught it.

    When it is fine
    ---------------
    Without the profile and without such a value head the rule is silent: heads of several tasks, a classifier with an
    auxiliary score, detectors and two-output regressors look alike and need no small start. Leave the profile out for a
    policy that was trained before.

    Bad
    ---
    import torch
    from torch import nn

    class Agent(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(12, 64), nn.Tanh())
            self.policy, self.value = nn.Linear(64, 6), nn.Linear(64, 1)
            nn.init.orthogonal_(self.body[0].weight, 2**0.5)
            nn.init.orthogonal_(self.policy.weight)
            nn.init.orthogonal_(self.value.weight)

        def forward(self, state):
            features = self.body(state)
            return self.policy(features), self.value(features)

    def build():
        return Agent(), torch.randn(64, 12)

    expected = ("policy.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Agent(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(12, 64), nn.Tanh())
            self.policy, self.value = nn.Linear(64, 6), nn.Linear(64, 1)
            nn.init.orthogonal_(self.body[0].weight, 2**0.5)
            nn.init.orthogonal_(self.policy.weight, 0.01)
            nn.init.orthogonal_(self.value.weight)

        def forward(self, state):
            features = self.body(state)
            return self.policy(features), self.value(features)

    def build():
        return Agent(), torch.randn(64, 12)

    Fix
    ---
    Draw the last layer of the policy with a gain of 0.01, biases zero.

    References
    ----------
    Andrychowicz et al. 2021, section 3.2; Huang et al. 2022; ToruOwO/minimal-stable-PPO#3.
    """
    for policy in policies(trace, roundoffs=limits.equality_roundoffs):
        if policy.is_choice and policy.entropy < limits.policy_entropy:
            words = f"the entropy of its choice is about {policy.entropy:.2f} of ln n (limit {limits.policy_entropy:g})"
            yield _finding(policy, words, policy.entropy, limits.policy_entropy, "of ln n")
        elif not policy.is_choice and policy.size > limits.policy_mean:
            words = f"the mean actions have an rms of {policy.size:.2f} (limit {limits.policy_mean:g})"
            yield _finding(policy, words, policy.size, limits.policy_mean, "rms of the mean actions")


def _finding(policy: Policy, message: str, value: float, limit: float, unit: str) -> Finding:
    name = policy.fact.name
    return Finding(
        code="SZ509",
        name="committed-policy",
        severity="warning",
        where=(name,),
        message=f"{message} before any reward was seen",
        value=value,
        limit=limit,
        unit=unit,
        evidence="value",
        cause="wrong-gain",
        fix=Fix("draw the policy's last layer with gain 0.01", name),
        citation="Andrychowicz et al. 2021",
        operation=policy.operation.index,
    )
