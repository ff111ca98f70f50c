import pytest
import torch
from torch import nn
from torch.nn import functional as F

import stepzero
from tests.rules.ask import ask, severities

X = torch.randn(32, 8)


class Log(nn.Module):
    def __init__(self, shift):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.inner, self.last, self.shift = nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), shift

    def forward(self, x):
        return self.last(torch.log(self.inner(self.first(x)) + self.shift))


def test_the_first_operation_is_named():
    (finding,) = ask("SZ510", Log(0.0), X)
    assert (finding.severity, finding.where) == ("error", ("first.weight", "first.bias"))
    assert "log (32, 16)" in finding.message


def test_finite_is_silent():
    assert severities("SZ510", Log(1.0), X) == []


def test_masks_that_a_softmax_absorbs_are_not_the_culprit():
    class Masked(nn.Module):
        def __init__(self, *, whole):
            super().__init__()
            torch.manual_seed(0)
            self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
            mask = torch.full((4, 4), float("-inf")).triu(1)
            self.register_buffer("mask", torch.full((4, 4), float("-inf")) if whole else mask)

        def forward(self, x):
            return F.softmax(self.q(x) @ self.k(x).mT + self.mask, -1) @ self.v(x)

    batch = torch.randn(32, 4, 8)
    assert severities("SZ510", Masked(whole=False), batch) == []
    (finding,) = ask("SZ510", Masked(whole=True), batch)
    assert finding.severity == "error"
    assert "add" in finding.message or "softmax" in finding.message


def test_a_loss_that_does_it_alone_is_placed_at_the_head():
    (finding,) = ask("SZ510", Log(1.0), X, lambda output: torch.log(output.detach().mean() * 0) + output.mean())
    assert finding.where == ("last.weight", "last.bias")
    assert "the loss itself" in finding.message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weights_are_the_root(value):
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))
    with torch.no_grad():
        model[0].bias[2] = value
        model[2].weight[1, 2] = value
    report = stepzero.check(model, X, lambda output: output.square().mean())
    roots = {finding.code: finding.root for finding in report.findings}
    assert roots["SZ510"] is not None
    assert roots["SZ510"].startswith("SZ101")


def test_overflow_behind_garbage_hangs_under_it():
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 4))
    with torch.no_grad():
        model[0].weight[3, 3] = 1e30
    report = stepzero.check(model, torch.randn(32, 64), lambda output: output.square().mean())
    roots = {finding.code: finding.root for finding in report.findings}
    assert roots["SZ103"] is None
    assert roots["SZ510"].startswith("SZ103")


def test_what_follows_no_weight_is_placed_at_a_path_of_the_model():
    class Early(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(8, 4)

        def forward(self, x):
            return self.last(torch.log(-x.abs() - 1))

    (finding,) = ask("SZ510", Early(), X)
    assert finding.where == ("",)
    assert "in Early" in finding.message
    (finding,) = ask("SZ510", nn.Sequential(nn.Linear(8, 4)), X, lambda output: output.sum() * 0 + float("nan"))
    assert finding.where == ("0.weight", "0.bias")
