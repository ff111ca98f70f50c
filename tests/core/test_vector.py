"""Vector: float64 numbers in, the same numbers out."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.core.vector import Vector

numbers = st.lists(st.floats(), max_size=20)


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


@given(numbers)
def test_what_went_in_comes_out(values):
    vector = Vector.of(values)
    assert len(vector) == len(values)
    assert all(same(a, b) for a, b in zip(vector, values, strict=True))
    assert all(same(vector[index], value) for index, value in enumerate(values))


@given(numbers)
def test_the_bytes_are_little_endian_doubles(values):
    assert Vector.of(values).data == struct.pack(f"<{len(values)}d", *values)


@given(numbers, numbers)
def test_equal_bytes_are_equal_and_hash_alike(first, second):
    a, b = Vector.of(first), Vector.of(second)
    assert (a == b) == (a.data == b.data)
    assert hash(a) == hash(Vector.of(first))


def test_an_empty_vector_is_false_and_has_no_numbers():
    assert not Vector()
    assert list(Vector()) == []
    with pytest.raises(IndexError):
        Vector()[0]


def test_unpack_gives_a_fresh_copy():
    vector = Vector.of([1.0, 2.0])
    vector.unpack()[0] = 9.0
    assert list(vector) == [1.0, 2.0]


def test_a_long_vector_shows_its_first_numbers_and_its_length():
    assert repr(Vector.of([1, 2.5])) == "Vector([1, 2.5], len=2)"
    assert repr(Vector.of(range(9))) == "Vector([0, 1, 2, 3, ...], len=9)"
