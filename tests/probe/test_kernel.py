import pytest
import torch
from torch import nn

from stepzero import api
from tests.probe.observing import seeded

X = seeded(20, 4)


def test_the_rank_of_a_line_is_that_of_its_inputs():
    found = api.trace(nn.Linear(4, 1, bias=False), X, "mse", seeded(20, 1), probes=["kernel"]).kernel
    values = torch.linalg.svdvals(X.double()).square()
    shares = values / values.sum()
    assert found.own.rank == pytest.approx(float(torch.exp(torch.special.entr(shares).sum())), rel=1e-6)
    assert found.own.decades == float("inf"), "20 samples in four dimensions"
    assert len(found.drawn) == 3


def test_few_samples_and_no_axis_of_samples_are_told():
    assert "4 samples" in api.trace(nn.Linear(4, 1), X[:4], "mse", seeded(4, 1), probes=["kernel"]).kernel.reason

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 1)

        def forward(self, x):
            return self.body(x).sum()

    assert "one by one" in api.trace(Sum(), X, lambda output: output, probes=["kernel"]).kernel.reason


def test_the_model_is_as_it_was():
    model = nn.Linear(4, 1)
    before = model.weight.detach().clone()
    api.trace(model, X, "mse", seeded(20, 1), probes=["kernel"])
    assert torch.equal(model.weight, before)
