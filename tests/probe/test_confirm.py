"""Whether a relation between units holds, and what rounding alone explains."""

import math

import pytest
import torch

from stepzero.probe.confirm import gap, is_rounding
from stepzero.probe.prints import Prints

PLACES = [("w", 0), ("w", 1)]


def prints(second: float, *, gradient: float = 1.0) -> dict[str, Prints]:
    """Two units: the first responds (1, 2), the second ``second`` times that."""
    forward = torch.tensor([[1.0, 2.0], [second, 2 * second]], dtype=torch.float64)
    backward = torch.tensor([[1.0, 0.0], [gradient, 0.0]], dtype=torch.float64)
    live = torch.ones(2, dtype=torch.bool)
    return {"w": Prints([], forward, backward, (4,), live, live)}


def was(factor):
    return lambda *_: factor


@pytest.mark.parametrize(("second", "factor", "expected"), [(1.0, 1.0, 0.0), (1.1, 1.0, 0.1), (3.0, 2.0, 0.5)])
def test_the_gap_is_relative_to_what_the_relation_says(second, factor, expected):
    assert gap(prints(second), PLACES, was(factor)) == pytest.approx(expected)


def test_a_change_of_sign_and_a_missing_unit_are_no_relation():
    assert gap(prints(-1.0), PLACES, was(1.0)) == math.inf
    assert gap({}, PLACES, was(1.0)) == math.inf


@pytest.mark.parametrize(
    ("here", "shadow", "expected"),
    [
        ((1.0, 1.0 + 1e-6), (1.0, 1.0 - 1e-6), True),
        ((1.0, 1.0 + 1e-2), (1.0, 1.0 + 1e-2), False),
    ],
)
def test_a_gap_counts_where_it_is_far_beyond_that_of_the_shadow(here, shadow, expected):
    path, other = ([prints(each) for each in values] for values in (here, shadow))
    assert is_rounding(PLACES, path, other, was(1.0), 1e-10) == expected


def test_gradients_that_differ_one_step_before_will_part_the_units():
    path = [prints(1.0, gradient=1.5), prints(1.0 + 1e-9)]
    shadow = [prints(1.0, gradient=1.5), prints(1.0 - 1e-9)]
    assert not is_rounding(PLACES, path, shadow, was(1.0), 1e-10)
