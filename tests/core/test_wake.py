"""The nouns of the wake-up probe count slices, and survive JSON inside a Trace."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepzero.core.trace import Trace
from stepzero.core.wake import NO_WAKE, DeadProduct, ParameterWake, WakeFact
from tests.strategies import alike, every_field, register

RUNS = st.lists(st.tuples(st.none() | st.integers(0, 40), st.integers(1, 99)), max_size=5).map(tuple)


def wakes():
    """Any fact, also one that makes no sense."""
    register()
    causes = st.sampled_from(["", "value", "cut", "algebra", "unused"])
    parameters = every_field(ParameterWake, first=RUNS, cause=causes)
    return every_field(
        WakeFact,
        parameters=st.lists(parameters, max_size=3).map(tuple),
        products=st.lists(every_field(DeadProduct), max_size=3).map(tuple),
        blockers=st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple),
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(wakes())
def test_a_trace_brings_it_back(fact):
    assert alike(Trace.from_json(Trace("m", wake=fact).to_json()).wake, fact)


def test_a_trace_without_it_says_that_the_probe_did_not_run():
    assert Trace.from_json(Trace("m").to_json()).wake == NO_WAKE
    assert not NO_WAKE.ran


def test_a_cause_nobody_knows_is_refused():
    text = '{"model":"m","wake":{"ran":true,"parameters":[{"parameter":"a","first":[],"cause":"fate"}]}}'
    with pytest.raises(ValueError, match="not a stepzero trace"):
        Trace.from_json(text)


@given(RUNS)
def test_slices_are_counted_run_by_run(runs):
    every = [step for step, count in runs for _ in range(count)]
    found = ParameterWake("a", runs)
    assert found.slices == len(every)
    assert found.stuck == every.count(None)
    assert found.delay == max((step for step in every if step is not None), default=0)


@pytest.mark.parametrize(
    ("runs", "slices", "stuck", "delay"),
    [((), 0, 0, 0), (((0, 4),), 4, 0, 0), (((0, 3), (None, 1), (2, 4)), 8, 1, 2), (((None, 8),), 8, 8, 0)],
)
def test_live_delayed_and_stuck(runs, slices, stuck, delay):
    found = ParameterWake("a", runs)
    assert (found.slices, found.stuck, found.delay) == (slices, stuck, delay)
