"""Who sleeps, behind what, and which of it the batch explains."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.core.optimizer import OptimizerFact
from stepzero.measure import sleepers
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import TOKENS, Attends, Gated, Low, Rezero, Routed, only_biases, zeroed

TRUNK = ("0.weight", "0.bias", "2.weight", "2.bias")


def seen(model, batch=X):
    return trace(model, batch, square, probes=["wake"])


def kink():
    return zeroed(stack(6, 8, 8, 3, phi=nn.ReLU), "2.weight", "2.bias")


def test_stuck_parameters_stand_under_the_zero_that_blocks_them():
    ((blocker, names),) = sleepers.stuck(seen(kink())).items()
    assert (blocker, set(names)) == ("2.weight", {*TRUNK, "4.weight"})


def test_factors_of_a_dead_product_and_what_they_silence_are_told_elsewhere():
    trace_of = seen(zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight"))
    taken = {"2.weight", "4.weight", *trace_of.wake.products[0].silenced}
    assert taken <= sleepers.asleep_for_ever(trace_of)
    assert not taken & {name for names in sleepers.stuck(trace_of).values() for name in names}


@pytest.mark.parametrize("model", [stack(6, 8, 8, 3), zeroed(stack(6, 8, 8, 3), "4.weight"), Rezero(), only_biases(4)])
def test_what_wakes_by_itself_is_not_stuck(model):
    assert sleepers.stuck(seen(model)) == {}
    assert sleepers.asleep_for_ever(seen(model)) == set()


def test_units_that_are_partly_alive_are_not_judged_here():
    model = stack(6, 8, 3, phi=nn.ReLU)
    model[0].bias.data[:3] = -50.0
    assert sleepers.stuck(seen(model)) == {}


def test_rows_and_experts_the_batch_passed_over_are_not_judged():
    table = nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 3))
    assert sleepers.stuck(seen(table, torch.arange(4))) == {}
    routed = Routed()
    routed.router.bias.data[2] = -50.0
    assert sleepers.stuck(seen(routed)) == {}


def test_an_expert_that_is_zero_itself_is_judged():
    routed = Routed(4)
    for each in routed.experts[2].parameters():
        nn.init.zeros_(each)
    assert any(name.startswith("experts.2") for name in sleepers.asleep_for_ever(seen(routed)))


@pytest.mark.parametrize(
    ("model", "blocker", "word"),
    [
        (kink(), "2.weight", "kink-at-zero"),
        (
            zeroed(nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)), "1.weight"),
            "1.weight",
            "zero-on-main-path",
        ),
    ],
)
def test_the_cause_word(model, blocker, word):
    assert sleepers.cause(seen(model), blocker) == word


def test_cut_parameters_are_grouped_by_module_with_the_last_place_seen():
    model = Net(lambda self, x: self.b(torch.sign(self.a(x))), a=stack(6, 8, 4), b=nn.Linear(4, 3))
    found = dict(sleepers.cut(seen(model)))
    assert set(found) == {("a.0.weight", "a.0.bias"), ("a.2.weight", "a.2.bias")}
    assert found["a.2.weight", "a.2.bias"] == "linear of a.2"
    assert list(sleepers.cut(seen(stack(6, 8, 3)))) == []


def test_redundant_are_the_used_ones_that_change_nothing():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    assert sleepers.redundant(seen(model)) == ("0.bias",)
    assert sleepers.redundant(seen(Attends(bias=True), TOKENS)) == ("k.bias",)
    idle = Net(lambda self, x: self.fc(x), fc=nn.Linear(6, 3), idle=nn.Linear(3, 3))
    assert sleepers.redundant(seen(idle)) == ()
    assert sleepers.redundant(seen(kink())) == ()


@pytest.mark.parametrize(
    ("model", "batch", "zeros"),
    [
        (zeroed(stack(6, 8, 3), "2.weight", "2.bias"), X, ["2.weight"]),
        (zeroed(Gated(), "down.weight"), X, ["down.weight"]),
        (nn.Sequential(zeroed(Low(), "B"), nn.Linear(8, 3)), X, ["0.B"]),
        (Rezero(2), X, ["alpha.0", "alpha.1"]),
        (zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight"), X, []),
        (zeroed(stack(6, 8, 3), "0.bias"), X, []),
    ],
)
def test_what_sleepers_wait_for_are_zeros_with_a_gradient(model, batch, zeros):
    assert sleepers.live_zeros(seen(model, batch)) == zeros


@pytest.mark.parametrize("layers", [2, 3, 4, 5])
def test_zero_layers_in_a_row_are_slow_from_two_steps_on_or_from_one_when_nobody_named_the_optimizer(layers):
    trace = seen(only_biases(layers))
    every = {f"{2 * (layer - 1)}.weight": layers - layer for layer in range(1, layers)}
    assert sleepers.slow_weights(trace) == every
    told = replace(trace, optimizer=OptimizerFact("SGD", 0.05))
    assert sleepers.slow_weights(told) == {name: delay for name, delay in every.items() if delay > 1}


def test_a_chain_of_idioms_with_a_way_around_is_not_slow():
    model = zeroed(Attends(), "q.weight", "o.weight")
    assert {each.delay for each in seen(model, TOKENS).wake.parameters} == {1, 2}
    assert sleepers.slow_weights(seen(model, TOKENS)) == {}
    gates = zeroed(Rezero(2), "head.weight")
    assert max(each.delay for each in seen(gates).wake.parameters) >= 2
    assert sleepers.slow_weights(seen(gates)) == {}


def test_a_slot_of_zeros_among_live_ones_is_no_stuck_parameter():
    def forward(self, x):
        return self.base(x) + torch.einsum("sor,sri,bi->bo", self.B, self.A, x)

    model = Net(forward, base=nn.Linear(6, 8).requires_grad_(False), A=seeded(3, 2, 6), B=torch.zeros(3, 8, 2))
    model.A.data[1] = 0
    assert sleepers.stuck(seen(model)) == {}
    assert sleepers.asleep_for_ever(seen(model)) == {"A", "B"}


def test_zeros_that_wake_are_those_with_a_gradient_and_those_seen_to_get_one():
    assert sleepers.waking_zeros(seen(only_biases(2))) == ["0.weight", "2.weight"]
    assert sleepers.waking_zeros(seen(zeroed(stack(6, 8, 3), "2.weight", "2.bias"))) == ["2.weight"]
    assert sleepers.waking_zeros(seen(kink())) == []
    assert sleepers.waking_zeros(trace(only_biases(2), X, square)) == ["2.weight"]  # not seen without the probe


def test_a_zero_row_that_is_added_to_something_switches_nothing_off():
    """Of an adapter behind which some units are off for the whole batch, whatever the adapter says."""
    adapted = Low()
    with torch.no_grad():
        adapted.B.zero_()
        adapted.base.bias[:2] = -50.0
    assert sleepers.lost(seen(nn.Sequential(adapted, nn.ReLU(), nn.Linear(8, 3)))) == []
