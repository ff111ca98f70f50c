import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.probe.observing import Net
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import Routed, zeroed
from tests.rules.ask import ask


def found(forward, loss=square, **parts):
    model = Net(forward, **{"a": stack(6, 8), "b": nn.Linear(8, 3), **parts})
    return {finding.where: finding for finding in ask("SZ406", model, X, loss)}


def straight_through(self, x):
    soft = self.a(x).softmax(-1)
    hard = F.one_hot(soft.argmax(-1), 8).to(soft.dtype)
    return self.b(hard + soft - soft.detach())


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: self.b(self.a(x).detach().tanh()),
        lambda self, x: self.b(F.one_hot(self.a(x).argmax(-1), 8).to(x.dtype)),
        lambda self, x: self.b((5 * self.a(x)).round()),
        lambda self, x: self.b(self.a(x).sign()),
        lambda self, x: self.b((self.a(x) > 0).to(x.dtype)),
        lambda self, x: self.b(torch.distributions.Normal(self.a(x), 1.0).sample()),
        lambda self, x: self.b(torch.tensor(self.a(x).detach().numpy()).to(x.dtype)),
    ],
    ids=["detach", "argmax", "round", "sign", "threshold", "sample", "numpy"],
)
def test_every_way_to_lose_the_derivative(forward):
    said = found(forward)
    assert set(said) == {("a.0.weight", "a.0.bias")}
    (finding,) = said.values()
    assert (finding.severity, finding.cause, finding.fix) == ("error", "cut-path", None)
    assert "last seen in linear of a.0" in finding.message


@pytest.mark.parametrize("experts", [2, 4])
def test_a_top_one_router_that_renormalises(experts):
    model = Routed(1, is_renormalised=True, experts=experts)
    (finding,) = ask("SZ406", model, X, square)
    assert "router.weight" in finding.where
    assert set(finding.where) <= {"router.weight", "router.bias"}


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("top", "is_renormalised"), [(1, False), (2, True), (2, False)])
def test_routers_with_a_derivative_are_silent(top, is_renormalised):
    assert ask("SZ406", Routed(top, is_renormalised=is_renormalised), X, square) == []


@pytest.mark.parametrize(
    "forward",
    [
        straight_through,
        lambda self, x: self.b(torch.distributions.Normal(self.a(x), 1.0).rsample()),
        lambda self, x: self.b(F.gumbel_softmax(self.a(x), hard=True)),
        lambda self, x: self.b(self.a(x).abs()),
    ],
    ids=["straight-through", "rsample", "gumbel", "kink"],
)
def test_estimators_with_a_gradient_are_silent(forward):
    assert found(forward) == {}


def test_an_auxiliary_loss_that_carries_the_gradient_is_silent():
    def forward(self, x):
        score = self.a(x)
        return {"out": self.b(F.one_hot(score.argmax(-1), 8).to(x.dtype)), "score": score}

    assert found(forward, lambda output: square(output["out"]) + square(output["score"].softmax(-1))) == {}


def test_frozen_parameters_and_buffers_are_silent():
    def forward(self, x):
        return self.b(self.a(x).round() + self.shift)

    shift = nn.Module()
    model = Net(
        lambda self, x: self.b((5 * self.a(x)).round() + self.part.shift),
        a=stack(6, 8).requires_grad_(False),
        b=nn.Linear(8, 3),
        part=shift,
    )
    shift.register_buffer("shift", torch.ones(8))
    assert ask("SZ406", model, X, square) == []


def test_unused_and_redundant_parameters_are_told_elsewhere():
    assert found(lambda self, x: self.b(self.a(x)), idle=nn.Linear(2, 2)) == {}
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    assert ask("SZ406", model, X, square) == []


def test_a_dead_product_is_no_cut():
    assert ask("SZ406", zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight"), X, square) == []


def test_units_off_behind_a_relu_are_no_cut():
    model = stack(6, 8, 3, phi=nn.ReLU)
    nn.init.constant_(model[0].bias, -50.0)
    assert ask("SZ406", model, X, square) == []


def test_two_modules_are_two_findings():
    said = found(lambda self, x: self.b(self.a(x).sign() + self.c(x).sign()), c=stack(6, 8, seed=1))
    assert set(said) == {("a.0.weight", "a.0.bias"), ("c.0.weight", "c.0.bias")}
