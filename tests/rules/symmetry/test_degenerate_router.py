"""Routers that decide nothing, and those that look as if."""

import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 16, generator=generator())


class Mixture(nn.Module):
    def __init__(self, start, *, noise=0.0, top=1):
        super().__init__()
        self.router = nn.Linear(16, 4)
        self.experts = nn.ModuleList([nn.Linear(16, 16) for _ in range(4)])
        self.noise, self.top = noise, top
        start(self.router)

    def forward(self, x):
        logits = self.router(x)
        if self.noise:
            logits = logits + self.noise * torch.randn_like(logits)
        weight, chosen = logits.softmax(-1).topk(self.top)
        every = torch.stack([expert(x) for expert in self.experts], 1)
        picked = every.gather(1, chosen[..., None].expand(-1, -1, every.shape[-1]))
        return (weight[..., None] * picked).sum(1)


def zero(router):
    nn.init.zeros_(router.weight)
    nn.init.zeros_(router.bias)


def biased(router):
    nn.init.constant_(router.bias[1:], 0.0)
    with torch.no_grad():
        router.bias[0] = 8.0


def drawn(router):
    nn.init.normal_(router.weight, std=0.25, generator=generator())
    nn.init.zeros_(router.bias)


def test_ties_are_decided_by_the_order():
    for top in (1, 2):
        (finding,) = ask("SZ211", Mixture(zero, top=top), X)
        assert (finding.severity, finding.where) == ("warning", ("router.weight", "router.bias"))
        assert "order of ties" in finding.message


def test_one_expert_for_all_tokens():
    (finding,) = ask("SZ211", Mixture(biased), X)
    assert finding.where[0] == "router.weight"
    assert "one expert first at 100% of the positions" in finding.message
    assert finding.evidence == "control"


def test_a_drawn_router_is_silent_however_small():
    def small(router):
        nn.init.normal_(router.weight, std=1e-3, generator=generator())
        nn.init.zeros_(router.bias)

    for start in (drawn, small, nn.Linear.reset_parameters):
        assert severities("SZ211", Mixture(start), X) == []


def test_noise_in_front_of_the_choice_is_not_judged():
    assert severities("SZ211", Mixture(zero, noise=1.0), X) == []


def test_tokens_that_resemble_each_other_are_in_the_control():
    alike = X[:1] + 0.01 * X
    assert severities("SZ211", Mixture(drawn), alike) == []


def test_a_zero_head_whose_answer_is_not_ranked_is_silent():
    head = nn.Linear(16, 4)
    zero(head)
    assert severities("SZ211", head, X, "cross_entropy", torch.arange(64) % 4) == []
