"""Why a zero gradient does not end: algebra, a cut, nobody who reads it, or the model itself."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.core.wake import NO_WAKE
from stepzero.probe.capture import capture
from stepzero.probe.subject import subject_of
from stepzero.probe.wake import wake
from tests.probe.models import CASES
from tests.probe.observing import Net
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import (
    TOKENS,
    Attends,
    Routed,
    by_name,
    causes,
    only_biases,
    woken,
    zeroed,
)

torch.manual_seed(0)  # the models below are built once, on import


def test_embedding_rows_that_are_not_looked_up():
    model = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 3))
    fact = by_name(woken(model, torch.tensor([[0, 1, 2], [2, 7, 1]])))
    assert fact["0.weight"].first == ((0, 3), (None, 4), (0, 1), (None, 2))
    assert set(fact) == {"0.weight"}


def test_experts_that_no_sample_is_sent_to():
    model = Routed()
    with torch.no_grad():
        model.router.weight.mul_(0.1)
        model.router.bias.copy_(torch.tensor([0.0, 0.0, -50.0, 0.0]))
    asleep = by_name(woken(model))
    idle = {name for name, each in asleep.items() if each.stuck == each.slices and name.startswith("experts")}
    assert idle == {f"experts.2.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")}
    assert not {name for name in asleep if name.startswith(("experts.0", "experts.1"))}


# -- why ------------------------------------------------------------------------------------------------------------


def before_norm(norm):
    return nn.Sequential(nn.Linear(6, 8), norm, nn.Tanh(), nn.Linear(8, 3))


ALGEBRA = {
    "bias before batch norm": (before_norm(nn.BatchNorm1d(8)), X, {"0.bias"}),
    "key bias": (Attends(bias=True), TOKENS, {"k.bias"}),
    "softmax over one unit": (
        nn.Sequential(*stack(6, 8, 1), nn.Softmax(-1)),
        X,
        {"0.weight", "0.bias", "2.weight", "2.bias"},
    ),
    "a norm over one element": (before_norm(nn.GroupNorm(8, 8)), X, {"0.weight", "0.bias", "1.weight"}),
    "a bias in front of a subtracted mean": (
        Net(lambda self, x: (h := self.fc(x)) - h.mean(0), fc=nn.Linear(6, 3)),
        X,
        {"fc.bias"},
    ),
}


@pytest.mark.parametrize("name", ALGEBRA)
def test_what_changes_nothing_is_algebra(name):
    model, batch, expected = ALGEBRA[name]
    fact = woken(model, batch)
    assert causes(fact) == dict.fromkeys(expected, "algebra")
    assert all(not each.effect and not each.control for each in fact.parameters)
    assert fact.products == fact.blockers == ()
    assert fact.output_is_constant == (name == "softmax over one unit")


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.RMSNorm(8)])
def test_a_bias_that_the_norm_does_not_take_off_is_live(norm):
    assert woken(before_norm(norm)).parameters == ()


CUT = {
    "detach": lambda self, x: self.b(torch.tanh(self.a(x)).detach()),
    "argmax": lambda self, x: self.b(F.one_hot(self.a(x).argmax(-1), 8).to(x.dtype)),
    "round": lambda self, x: self.b(torch.round(3 * self.a(x))),
    "sign": lambda self, x: self.b(torch.sign(self.a(x))),
    "no_grad": lambda self, x: self.b(torch.tanh(quiet(self.a, x))),
    "sample": lambda self, x: self.b(torch.distributions.Normal(self.a(x), 1.0).sample()),
}


def quiet(module, x):
    with torch.no_grad():
        return module(x)


@pytest.mark.parametrize("name", CUT)
def test_what_acts_without_a_derivative_is_cut(name):
    model = Net(CUT[name], a=stack(6, 8), b=nn.Linear(8, 3))
    fact = woken(model)
    assert causes(fact) == dict.fromkeys(["a.0.weight", "a.0.bias"], "cut")
    assert all(each.effect and not each.control for each in fact.parameters)


def test_a_straight_through_estimator_and_a_reparameterised_sample_are_live():
    def straight(self, x):
        soft = self.a(x).softmax(-1)
        hard = F.one_hot(soft.argmax(-1), 8).to(soft.dtype)
        return self.b(hard + soft - soft.detach())

    def sampled(self, x):
        return self.b(torch.distributions.Normal(self.a(x), 1.0).rsample())

    for forward in (straight, sampled):
        assert woken(Net(forward, a=stack(6, 8), b=nn.Linear(8, 3))).parameters == ()


@pytest.mark.parametrize(("top", "is_renormalised", "expected"), [(1, True, "cut"), (1, False, None), (2, True, None)])
def test_a_router_whose_only_weight_is_divided_by_itself_is_cut(top, is_renormalised, expected):
    asleep = causes(woken(Routed(top, is_renormalised=is_renormalised)))
    assert asleep.get("router.weight") == expected


def test_a_parameter_nobody_reads_is_unused():
    model = Net(lambda self, x: self.b(x), b=nn.Linear(6, 3), idle=nn.Linear(3, 3))
    fact = woken(model)
    assert causes(fact) == dict.fromkeys(["idle.weight", "idle.bias"], "unused")
    assert not any(each.has_gradient or each.first for each in fact.parameters)


def test_frozen_parameters_are_not_looked_at():
    model = zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight")
    model[0].requires_grad_(False)
    assert not {"0.weight", "0.bias"} & set(by_name(woken(model)))


def test_a_loss_that_is_blind_behind_a_norm_is_no_fault_of_the_network():
    model = nn.Sequential(*stack(6, 8, 8), nn.LayerNorm(8))
    assert woken(model, X, lambda output: output.sum()).parameters == ()


# -- models that refuse, and models left alone ------------------------------------------------------------------------


def test_a_gradient_that_is_not_finite_is_not_judged():
    model = Net(lambda self, x: self.b(x) * torch.tensor(float("nan")), b=nn.Linear(6, 3))
    subject = subject_of(model, X, square)
    fact = wake(subject, capture(subject))
    assert not fact.ran
    assert "not finite" in fact.reason


def test_a_model_that_fails_in_float64_gives_a_reason():
    def forward(self, x):
        h = self.b(self.a(x).detach())
        assert h.dtype == torch.float32, "float32 only"
        return h

    model = Net(forward, a=nn.Linear(6, 3), b=nn.Linear(3, 3))
    subject = subject_of(model, X, square)
    fact = wake(subject, capture(subject))
    assert not fact.ran
    assert "float32 only" in fact.reason
    assert fact != NO_WAKE


def test_the_model_is_bit_identical_afterwards():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    nn.init.zeros_(model[3].weight)
    model[0].weight.grad = torch.ones(8, 6)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    state = torch.get_rng_state()
    woken(model)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert torch.equal(model[0].weight.grad, torch.ones(8, 6))
    assert model[0].bias.grad is None
    assert torch.equal(torch.get_rng_state(), state)


def test_two_runs_say_the_same():
    model = only_biases(4, nn.ReLU)
    assert woken(model) == woken(model)


@pytest.mark.parametrize("name", CASES)
def test_no_case_of_the_zoo_of_forwards_is_stuck(name):
    model, batch, loss = CASES[name]()
    subject = subject_of(model, batch, loss)
    fact = wake(subject, capture(subject))
    assert fact.ran, fact.reason
    whole = [each.parameter for each in fact.parameters if each.cause == "value" and each.stuck == each.slices]
    assert whole == []
    assert fact.products == ()


def complex_stack(first, second):
    """Two layers, the first of complex weights."""
    head = nn.Linear(10, 3)
    head.weight.data.mul_(second)
    return Net(
        lambda self, x: self.head(torch.view_as_real(torch.fft.rfft(x) @ self.w).flatten(1)),
        w=first * torch.randn(4, 5, dtype=torch.complex64),
        head=head,
    )


@pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_complex_weights_are_never_cut(first, second):
    torch.manual_seed(0)
    fact = woken(complex_stack(first, second), X)
    assert fact.ran
    assert all(each.cause != "cut" and each.has_gradient for each in fact.parameters)
    assert [product.factors for product in fact.products] == ([("w", "head.weight")] if first == second == 0 else [])
