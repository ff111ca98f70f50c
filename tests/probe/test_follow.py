"""What a coordinate check follows, and how far products reach, against closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.probe.capture import module_path
from stepzero.probe.follow import Follower, follow
from stepzero.probe.places import MOST, names_of, rms
from stepzero.probe.subject import subject_of

X = torch.randn(8, 6, 16, generator=torch.Generator().manual_seed(0))


def followed(model, *args):
    follower = Follower(model)
    for index, value in enumerate(args):
        follower.add_input(f"x{index}", value)
    with module_path(follower), follower:
        output = model(*args)
        follower.phase = "loss"
    found = follower.sites(output)
    return {name: found[site] for site, name in names_of(list(found)).items()}


class Function(nn.Module):
    def __init__(self, function, **parameters):
        super().__init__()
        self.function = function
        for name, value in parameters.items():
            setattr(self, name, nn.Parameter(value))

    def forward(self, *args):
        return self.function(self, *args)


def test_every_weighted_result_is_there_once():
    model = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))
    found = followed(model, X)
    assert list(found) == ["0", "2"]
    torch.testing.assert_close(found["0"].sample, model[0](X).double().reshape(-1))
    assert found["2"].parameter == "2.weight"


def test_the_reach_of_a_weight_is_what_equal_entries_would_give():
    found = followed(nn.Linear(16, 8, bias=False), torch.ones(2, 16))
    assert found["linear"].reach == pytest.approx(16.0)
    assert followed(nn.Embedding(5, 3), torch.tensor([0, 4]))["embedding"].reach == pytest.approx(1.0)


@pytest.mark.parametrize(
    "scaled",
    [
        lambda self, x: F.linear(x, self.w) * 0.25,
        lambda self, x: 0.25 * F.linear(x, self.w),
        lambda self, x: F.linear(x, self.w) / 4,
        lambda self, x: F.linear(x, self.w).mul_(0.25),
        lambda self, x: F.linear(x, self.w).view(-1) * torch.tensor(0.25),
        lambda self, x: F.linear(x, self.w, self.b) * 0.5 * 0.5,
        lambda self, x: (F.linear(x, self.w) + self.b) * 0.25,
    ],
)
def test_a_factor_behind_a_weight_is_part_of_it(scaled):
    model = Function(scaled, w=torch.randn(4, 16), b=torch.zeros(4))
    found = followed(model, X)
    assert len(found) == 1
    (taken,) = found.values()
    torch.testing.assert_close(taken.sample, model(X).detach().double().reshape(-1))
    assert taken.reach == pytest.approx(0.25 * 16 * rms(X.double()))


def test_a_raw_result_that_something_else_reads_is_followed_and_its_scaled_copy_is_not():
    model = Function(lambda self, x: (y := F.linear(x, self.w)).tanh() + 0.1 * y, w=torch.randn(16, 16))
    assert list(followed(model, X)) == ["linear", "output"]


def attention(scale, mask=None, *, is_fused=False):
    def run(self, x):
        q, k, v = F.linear(x, self.w).chunk(3, -1)
        if is_fused:
            return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], scale=scale)
        logits = torch.einsum("btd,bsd->bts", q, k) * scale
        return (logits if mask is None else mask(logits)).softmax(-1) @ v

    return Function(run, w=torch.randn(48, 16, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    "model",
    [
        attention(0.1),
        attention(0.1, lambda logits: logits.masked_fill(torch.ones(6, 6).triu(1).bool(), -math.inf)),
        attention(0.1, lambda logits: logits + torch.full((6, 6), -1e9).triu(1)),
        attention(0.1, is_fused=True),
    ],
)
def test_attention_logits_reach_scale_times_the_two_norms(model):
    q, k, _ = F.linear(X, model.w.detach()).chunk(3, -1)
    norms = 0.1 * float((q.square().sum(-1).mean() * k.square().sum(-1).mean()).sqrt())
    assert followed(model, X)["attention logits"].reach == pytest.approx(norms, rel=0.1)


def test_the_reach_is_met_when_queries_are_keys():
    x = torch.ones(2, 3, 16)
    found = followed(Function(lambda self, x: ((x @ x.mT) / 4).softmax(-1) @ self.w, w=torch.ones(3, 2)), x)
    assert found["attention logits"].reach == pytest.approx(4.0)


def test_class_probabilities_are_no_attention():
    assert list(followed(nn.Sequential(nn.Linear(16, 4), nn.Softmax(-1)), X)) == ["0", "output"]


def test_large_results_are_sampled_the_same_way_twice():
    model = nn.Linear(16, 3 * MOST // 48, bias=False)
    first, second = (followed(model, X)["linear"].sample for _ in range(2))
    assert first.numel() == MOST
    assert torch.equal(first, second)
    assert rms(first) == pytest.approx(rms(model(X).double()), rel=0.02)


@pytest.mark.parametrize(
    "scaled",
    [
        lambda self, x: F.linear(x.tanh() / 8, self.w),
        lambda self, x: F.linear(x.tanh(), self.w) / 8,
        lambda self, x: F.linear((x.tanh() * 0.5).view(-1, 16), self.w) * 0.25,
    ],
)
def test_the_multiplier_counts_factors_in_front_and_behind(scaled):
    zero = Function(scaled, w=torch.zeros(4, 16))
    assert [taken.multiplier for taken in followed(zero, X).values()] == [pytest.approx(0.125)]


def test_factors_in_front_of_a_nonlinearity_do_not_count():
    (taken,) = followed(Function(lambda self, x: F.linear((x / 8).tanh(), self.w), w=torch.zeros(4, 16)), X).values()
    assert taken.multiplier == 1.0


def test_the_loss_can_be_differentiated():
    model = nn.Linear(16, 4)
    loss, seen = follow(subject_of(model, X, "mse", torch.zeros(8, 6, 4)))
    loss.backward()
    torch.testing.assert_close(loss.detach(), model(X).square().mean().detach())
    assert model.weight.grad is not None
    assert len(seen) == 1
