"""JSON of frozen records: pure, and the same record when it comes back."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings

from stepzero.core import serial
from stepzero.core.trace import Operation, Trace
from tests.strategies import alike, traces


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(traces())
def test_a_trace_there_and_back(original):
    assert alike(Trace.from_json(original.to_json()), original)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_strings_at_any_depth(value):
    assert serial.finite({"a": [1.0, (value, {"b": value})]}) == {"a": [1.0, [str(value), {"b": str(value)}]]}


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "nan", "inf", "-inf", "none", 1.5, (1, 2), None, True]
)
def test_an_attribute_comes_back_as_what_it_was(value):
    operation = Operation(0, "hardtanh", "activation", "", 0, (2,), "float32", attributes={"max": value})
    (back,) = Trace.from_json(Trace("m", operations=(operation,)).to_json()).operations
    assert repr(back.attributes["max"]) == repr(value)


@pytest.mark.parametrize("value", [{"float": "much"}, {"float": None}, {"float": "inf", "int": 1}])
def test_an_attribute_of_no_known_kind_is_a_value_error(value):
    record = {**json.loads(Trace("m").to_json()), "operations": [{"attributes": {"max": value}}]}
    with pytest.raises(ValueError, match="not a stepzero trace"):
        Trace.from_json(json.dumps(record))


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
