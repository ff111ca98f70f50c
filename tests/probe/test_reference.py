"""The comparison with a reference state leaves both as they were, and says what it could not compare."""

import math

import torch
from torch import nn

from stepzero.probe.reference import compared, state_in
from stepzero.probe.subject import subject_of

X = torch.ones(4, 3)


def fact(model, reference):
    subject = subject_of(model, X)
    subject.reference = reference
    return compared(subject)


def test_without_a_reference_nothing_is_compared():
    assert not fact(nn.Linear(3, 2), None).ran


def test_both_are_left_as_they_were():
    model = nn.Linear(3, 2)
    reference = {"weight": torch.zeros(2, 3), "bias": model.bias.detach().clone()}
    before = model.weight.detach().clone()
    found = fact(model, reference)
    assert (found.compared, [each.name for each in found.replaced]) == (2, ["weight"])
    assert found.replaced[0].distance == math.inf
    assert torch.equal(model.weight, before)
    assert not bool(reference["weight"].any())


def test_what_is_stored_in_another_form_is_named():
    model = nn.Linear(3, 2)
    found = fact(model, {"weight": torch.zeros(2, 3, dtype=torch.int8), "bias": torch.empty(2, device="meta")})
    assert found.compared == 0
    assert [name for name, _ in found.skipped] == ["weight", "bias"]


def test_complex_numbers_and_ties():
    model = nn.Module()
    model.a = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    model.b = model.a
    model.forward = lambda x: (x * model.a.real).sum(1)
    assert fact(model, {"a": torch.ones(3, dtype=torch.complex64)}).replaced == ()
    (found,) = fact(model, {"a": torch.ones(3, dtype=torch.complex64) * 1j, "b": torch.zeros(3)}).replaced
    assert (found.name, found.num_other) == ("a", 3)
    assert abs(found.distance - math.sqrt(2)) < 1e-6


def test_the_state_is_found_inside_a_checkpoint():
    inner = {"weight": torch.ones(2, 3)}
    assert state_in({"model": inner, "step": 1}).keys() == inner.keys() == state_in(inner).keys()


def test_the_models_own_memory_proves_nothing():
    model = nn.Linear(3, 2)
    found = fact(model, model.state_dict())
    assert found.compared == 0
    assert {why for _, why in found.skipped} == {
        "the reference is the model's own memory: pass a copy of what was loaded"
    }


def test_eight_bits_are_compared():
    model = nn.Linear(3, 2)
    model.weight = nn.Parameter(torch.ones(2, 3).to(torch.float8_e4m3fn), requires_grad=False)
    assert fact(model, {"weight": torch.full((2, 3), 1.01)}).replaced == ()  # which is 1 in eight bits
    assert [each.num_other for each in fact(model, {"weight": torch.full((2, 3), 2.0)}).replaced] == [6]
