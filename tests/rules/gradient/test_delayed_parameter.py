import pytest
import torch
from torch import nn

from tests.probe.planting import X, square, stack
from tests.probe.sleeping import TOKENS, Attends, Gated, Low, Rezero, only_biases, zeroed
from tests.rules.ask import ask, severities

IDIOMS = {
    "zero head": (zeroed(stack(6, 8, 8, 3), "4.weight"), X, 1, "4.weight"),
    "adapter": (nn.Sequential(zeroed(Low(), "B"), nn.Tanh(), nn.Linear(8, 3)), X, 1, "0.B"),
    "adapter, other factor": (nn.Sequential(zeroed(Low(), "A"), nn.Tanh(), nn.Linear(8, 3)), X, 1, "0.A"),
    "last layer of a branch": (zeroed(Gated(), "down.weight"), X, 1, "down.weight"),
    "scalar gates": (Rezero(), X, 1, "alpha.0"),
    "uniform attention": (zeroed(Attends(), "q.weight"), TOKENS, 1, "q.weight"),
}


@pytest.mark.parametrize("name", IDIOMS)
def test_each_idiom_is_a_note_that_names_its_zero(name):
    model, batch, steps, zero = IDIOMS[name]
    (finding,) = ask("SZ403", model, batch, square)
    assert (finding.severity, finding.value) == ("info", steps)
    assert f"behind {zero}" in finding.message
    assert zero not in finding.where
    assert finding.fix is None


@pytest.mark.parametrize("name", IDIOMS)
def test_notes_never_change_the_exit_code(name):
    import stepzero

    model, batch, _, _ = IDIOMS[name]
    report = stepzero.check(model, batch, square, select=["SZ402", "SZ403", "SZ404", "SZ406", "SZ701"])
    assert (report.errors, report.warnings) == ((), ())
    assert report.ok()


def test_a_chain_of_zeros_is_one_note_for_each_delay():
    model = zeroed(Attends(), "q.weight", "o.weight")
    found = {finding.value: finding for finding in ask("SZ403", model, TOKENS, square)}
    assert set(found) == {1.0, 2.0}
    assert {finding.severity for finding in found.values()} == {"info"}
    assert found[2.0].where == ("k.weight",)


def test_zero_head_gates_and_branches_together_are_notes():
    """facebookresearch/DiT#82: every idiom at once takes several steps, and is no fault."""
    model = zeroed(Rezero(), "head.weight")
    assert set(severities("SZ403", model, X, square)) == {"info"}


def test_what_is_stuck_slow_or_live_is_no_delay():
    assert severities("SZ403", stack(6, 8, 3), X, square) == []
    assert severities("SZ403", zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight"), X, square) == []
    slow = [name for finding in ask("SZ403", only_biases(5), X, square) for name in finding.where]
    assert "0.weight" not in slow


def test_a_single_name_and_several_agree_with_their_verb():
    (one,) = ask("SZ403", zeroed(Attends(), "q.weight"), TOKENS, square)
    assert one.message.startswith("k.weight has no gradient at step 0 and will after step 1")
    (several,) = ask("SZ403", zeroed(stack(6, 8, 8, 3), "4.weight"), X, square)
    assert several.message.startswith("0.weight and 3 more parameters have")


def test_frozen_parameters_do_not_wait():
    model = zeroed(stack(6, 8, 8, 3), "4.weight")
    model[0].requires_grad_(False)
    (finding,) = ask("SZ403", model, X, square)
    assert set(finding.where) == {"2.weight", "2.bias"}
    assert torch.equal(model[4].weight, torch.zeros(3, 8))
