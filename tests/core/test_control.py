"""Ranges over the draws of a control record."""

import math

import pytest

from stepzero.core.control import NO_CONTROL, ControlFact, Draw, Range
from stepzero.core.trace import Trace
from stepzero.core.vector import Vector


def drawn(*losses, **vectors):
    return ControlFact(
        ran=True,
        draws=tuple(
            Draw(loss=loss, **{name: Vector.of(values[place]) for name, values in vectors.items()})
            for place, loss in enumerate(losses)
        ),
        own=Draw(loss=9.0, rank=Vector.of([3.0, math.nan]), top_share=0.5),
    )


def test_a_range_is_that_of_the_draws_which_measured_it():
    fact = drawn(1.0, 2.0, 6.0, forward=[[1.0, math.nan], [3.0, 5.0], [8.0, math.nan]])
    assert fact.at("forward", 0) == Range(1.0, 3.0, 8.0)
    assert fact.at("forward", 1) is None, "one draw is no range"
    assert fact.at("forward", 7) is None
    assert fact.output("loss") == Range(1.0, 2.0, 6.0)
    assert fact.output("top_share") is None
    assert fact.gradient(0) is None


def test_the_models_own_value_is_none_where_it_was_not_measured():
    fact = drawn(1.0, 2.0)
    assert fact.own_at("rank", 0) == 3.0
    assert fact.own_at("rank", 1) is None
    assert fact.own_at("off", 0) is None
    assert NO_CONTROL.own_at("rank", 0) is None


@pytest.mark.parametrize(("value", "ratio", "held"), [(2.0, 0.5, True), (1.9, 0.475, False), (8.1, 2.025, False)])
def test_inside_the_range_is_told_from_outside(value, ratio, held):
    found = Range(2.0, 4.0, 8.0)
    assert found.ratio(value) == pytest.approx(ratio)
    assert found.holds(value) is held
    assert found.words == "4 (2 to 8) when drawn by law"


def test_a_ratio_to_nothing_is_infinite_and_nothing_to_nothing_is_one():
    assert Range(0.0, 0.0, 0.0).ratio(1e-30) == math.inf
    assert Range(0.0, 0.0, 0.0).ratio(0.0) == 1.0


def test_a_trace_carries_it_through_json():
    trace = Trace("m", control=drawn(1.0, 2.0, forward=[[1.0], [2.0]]))
    assert Trace.from_json(trace.to_json()) == trace
