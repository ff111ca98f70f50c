"""Plan: JSON there and back, entries by any name, what was written."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.core.plan import ACTIONS, Entry, Plan, Scaling

words = st.text(max_size=8)
numbers = st.none() | st.floats(allow_nan=False)
slices = st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(allow_nan=False))
entries = st.builds(
    Entry, name=words, action=st.sampled_from(ACTIONS), why=words, fan_in=numbers, gain=numbers, value=numbers,
    values=st.lists(slices, max_size=2).map(tuple), blocks=st.integers(1, 4), aliases=st.lists(words).map(tuple),
)  # fmt: skip
scalings = st.builds(Scaling, words, *[st.floats(allow_nan=False)] * 3, after=numbers, uses=st.integers(1, 9))
plans = st.builds(
    Plan, words, st.integers(0, 2**40), entries=st.lists(entries, max_size=3).map(tuple),
    scalings=st.lists(scalings, max_size=2).map(tuple), skipped=st.lists(st.tuples(words, words)).map(tuple),
    is_dry_run=st.booleans(), versions=st.dictionaries(words, words, max_size=2),
)  # fmt: skip


@given(plans)
def test_json_there_and_back(plan):
    assert Plan.from_json(plan.to_json()) == plan


def test_numbers_that_are_not_finite_survive():
    plan = Plan("m", 0, scalings=(Scaling("w", math.inf, 1.0, 0.0),))
    json.loads(plan.to_json(), parse_constant=pytest.fail)
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": 3}', b"\xff"])
def test_what_is_no_plan_is_a_value_error(text):
    with pytest.raises(ValueError, match="not a stepzero plan"):
        Plan.from_json(text)


PLAN = Plan(
    "m",
    0,
    entries=(
        Entry("a", "drawn", aliases=("b",)),
        Entry("c", "set", value=0.0),
        Entry("d", "kept"),
        Entry("e", "skipped"),
    ),
)


@pytest.mark.parametrize(("name", "found"), [("a", "a"), ("b", "a"), ("c", "c")])
def test_an_entry_is_found_by_any_of_its_names(name, found):
    assert PLAN.entry(name).name == found


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError, match="nobody"):
        PLAN.entry("nobody")


def test_written_is_what_was_drawn_or_set():
    assert PLAN.written() == ("a", "c")


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLAN.seed = 1


def test_as_text_it_is_readable():
    plan = Plan("Net", 3, entries=(Entry("a.weight", "set", why="it is zero", value=0.0),))
    assert str(plan) == plan.to_text()
    assert "Net  scheme auto, seed 3" in str(plan)
    assert "it is zero" in str(plan)
    assert all(len(line) <= 60 for line in plan.to_text(60).splitlines())
