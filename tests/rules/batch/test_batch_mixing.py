import pytest
import torch
from torch import nn

import stepzero
from tests.rules.ask import ask, generator

X = torch.randn(6, 5, 8, generator=generator(1))
FLAT = torch.randn(12, 8, generator=generator(2))


class Net(nn.Module):
    """Two layers with something between them."""

    def __init__(self, between, features=16):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.between = nn.Linear(8, 16), nn.Linear(features, 4), between

    def forward(self, x):
        return self.second(self.between(torch.relu(self.first(x))))


def said(model, batch=X, **options):
    return [finding.severity for finding in ask("SZ903", model, batch, deep=True, **options)]


MIXING = {
    "a view in place of a transposition": lambda h: h.view(h.shape[1], h.shape[0], -1).transpose(0, 1),
    "a mean over the batch": lambda h: h - h.mean(0, keepdim=True),
    "a softmax over the batch": lambda h: h.softmax(0),
    "a running sum over the batch": lambda h: h.cumsum(0),
    "a running sum from the end": lambda h: h.flip(0).cumsum(0).flip(0),
    "one sample for all": lambda h: h + h[:1],
    "samples in another order": lambda h: h.roll(1, 0),
}


@pytest.mark.parametrize("between", MIXING.values(), ids=MIXING)
def test_samples_that_meet_are_an_error(between):
    assert said(Net(between)) == ["error"]


def test_attention_over_the_batch_of_sequences_is_an_error():
    """The sequence first is what torch takes, unless it is told otherwise."""

    class Attending(nn.Module):
        def __init__(self, batch_first):
            super().__init__()
            self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=batch_first), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.attention(x, x, x)[0].mean(1))

    (finding,) = ask("SZ903", Attending(batch_first=False), X, deep=True)
    assert (finding.severity, finding.where) == ("error", ("attention",))
    assert said(Attending(batch_first=True)) == []


def test_the_operation_and_the_others_are_named():
    (finding,) = ask("SZ903", Net(MIXING["a softmax over the batch"]), X, deep=True)
    assert "5 of 5 others" in finding.message
    assert "softmax" in finding.message


def test_it_agrees_with_the_derivative():
    """The oracle: dout_0/dx_1."""
    for between, is_mixed in ((torch.tanh, False), *((each, True) for each in MIXING.values())):
        x = X.clone().requires_grad_()
        output = Net(between)(x)
        grads = [torch.autograd.grad(output[i].sum(), x, retain_graph=True)[0] for i in range(6)]
        reach = any(bool(grads[i][j].any()) for i in range(6) for j in range(6) if i != j)
        assert reach is is_mixed


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(5), nn.LayerNorm(16), nn.InstanceNorm1d(5), nn.Dropout(0.5)])
def test_norms_and_noise_are_silent(norm):
    assert said(Net(norm)) == []


def test_statistics_of_the_batch_that_are_kept_by_nobody_are_a_note():
    assert said(Net(nn.BatchNorm1d(5, track_running_stats=False))) == ["info"]


def test_contrast_within_the_batch_is_a_note():
    class Pairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(8, 16)

        def forward(self, x):
            h = self.body(x)
            return h @ h.T

    assert said(Pairs(), FLAT) == ["info"]


def test_a_set_of_vectors_that_attend_to_each_other_is_a_note():
    between = lambda h: (h @ h.T / 4).softmax(-1) @ h  # noqa: E731 - the shortest form
    assert said(Net(between), FLAT) == ["info"]


def test_nodes_of_a_graph_are_a_note():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

        def forward(self, x, edges):
            h = self.first(x)
            return self.second(torch.zeros_like(h).index_add(0, edges[1], h[edges[0]]))

    edges = torch.stack([torch.arange(12), torch.arange(12).roll(1)])
    assert said(Graph(), (FLAT, edges)) == ["info"]


def test_equal_samples_one_sample_and_a_scalar_are_not_judged():
    why = lambda model, batch: [  # noqa: E731 - the shortest form
        each.why for each in stepzero.check(model, batch, select=["SZ903"], deep=True).coverage.not_judged
    ]
    assert why(Net(torch.tanh), X[:1].expand(6, 5, 8)) == ["all samples are equal"]
    assert "one sample" in why(Net(torch.tanh), X[:1])[0]
    assert "no axis of 6" in why(Net(lambda h: h.mean((0, 1))), X)[0]


def test_without_deep_it_is_not_looked_at():
    assert ask("SZ903", Net(MIXING["a softmax over the batch"]), X) == []


def test_the_model_is_as_it_was():
    model = Net(nn.BatchNorm1d(5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    said(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
