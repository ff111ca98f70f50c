import pytest

import stepzero
from stepzero.measure.branch_weights import factored
from stepzero.measure.stream import streams
from tests.rules.signal.test_misplaced_residual_scale import X, stack


def sorted_weights(model):
    (stream,) = streams(stepzero.trace(model, X))
    return factored(stepzero.trace(model, X), stream, tolerance=0.02)


def test_carriers_are_told_from_the_rest():
    found = sorted_weights(stack("out", "up"))
    assert found.factor == pytest.approx(0.25)
    assert found.with_it == tuple(f"{block}.out.weight" for block in range(8))
    assert found.without == tuple(f"{block}.down.weight" for block in range(8))
    assert found.elsewhere == tuple(f"{block}.up.weight" for block in range(8))


def test_where_one_law_explains_all_there_is_nothing_to_sort():
    assert sorted_weights(stack()) is None
    assert sorted_weights(stack("out", "down")) is None
