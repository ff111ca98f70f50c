"""Numbers as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.report.numbers import count, number, part, shape, share


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.03612, "0.0361"),
        (1.0, "1"),
        (784.0, "784"),
        (1234.5, "1,234"),
        (99999.0, "99,999"),
        (-2048.0, "-2,048"),
        (123456.0, "1.23e5"),
        (1.2e-9, "1.2e-9"),
        (-2.5, "-2.5"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0%"),
        (1.0, "100%"),
        (0.834, "83%"),
        (0.0004, "<0.1%"),
        (0.9999, ">99.9%"),
        (0.004, "0.4%"),
        (0.995, "99.5%"),
        (math.nan, "nan"),
    ],
)
def test_share(value, text):
    assert share(value) == text


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_only_none_is_nothing_and_only_all_is_everything(value):
    assert share(value) not in ("0%", "100%", "0.0%", "100.0%")


@given(st.floats(-1e300, 1e300))
def test_a_number_is_short_and_right_to_three_digits(value):
    text = number(value)
    assert len(text) <= 10
    assert float(text.replace(",", "")) == pytest.approx(value, rel=6e-3, abs=0)


def test_shape():
    assert shape((128, 784)) == "128x784"
    assert shape(()) == "scalar"


def test_count():
    assert [count(0, "error"), count(1, "error"), count(1200, "error")] == ["0 errors", "1 error", "1,200 errors"]
    assert count(2, "loss", "losses") == "2 losses"


def test_part_and_whole_are_written_alike():
    assert part(1204, 1204, "parameter") == "1,204 of 1,204 parameters"
    assert part(0, 1, "layer") == "0 of 1 layer"
