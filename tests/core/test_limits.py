"""Limits: each number states its unit and its source."""

import dataclasses
import math

import pytest

from stepzero.core.limits import Limits

FIELDS = dataclasses.fields(Limits)


@pytest.mark.parametrize("fact", FIELDS, ids=lambda fact: fact.name)
def test_every_limit_has_a_positive_value_a_unit_and_a_source(fact):
    assert math.isfinite(fact.default)
    assert fact.default > 0
    assert fact.metadata["unit"].strip()
    assert fact.metadata["source"].strip()


def test_limits_are_frozen_and_replaceable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().dead_error = 1.0
    assert dataclasses.replace(Limits(), dead_error=0.9).dead_error == 0.9


@pytest.mark.parametrize(
    ("softer", "harder"),
    [
        ("drift_range", "drift_error_range"),
        ("gradient_range", "gradient_error_range"),
        ("saturated_warning", "saturated_error"),
        ("dead_warning", "dead_error"),
        ("loud_excess", "loud_error_excess"),
        ("input_std_low", "input_std_high"),
    ],
)
def test_a_warning_comes_before_its_error(softer, harder):
    assert getattr(Limits(), softer) < getattr(Limits(), harder)
