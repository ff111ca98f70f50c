"""JSON of frozen records: pure, and the same record when it comes back."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings

from stepzero.core import serial
from stepzero.core.trace import Trace
from tests.strategies import alike, traces


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(traces())
def test_a_trace_there_and_back(original):
    assert alike(Trace.from_json(original.to_json()), original)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_strings_at_any_depth(value):
    assert serial.finite({"a": [1.0, (value, {"b": value})]}) == {"a": [1.0, [str(value), {"b": str(value)}]]}


def test_nothing_else_is_touched():
    plain = {"a": [0, 1.5, True, None, "nan"], "b": {}}
    assert serial.finite(plain) == plain


def test_indent_is_of_the_output_only():
    trace = Trace("m")
    assert "\n" not in trace.to_json()
    assert json.loads(trace.to_json(indent=2)) == json.loads(trace.to_json())


@pytest.mark.parametrize("text", ["", "{}", '{"model": 1}', b"\xff"])
def test_what_is_no_trace_is_a_value_error(text):
    with pytest.raises(ValueError, match="not a stepzero trace"):
        Trace.from_json(text)
