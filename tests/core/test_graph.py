"""Reachability: what is read, what lies between, what the loss is computed from."""

from dataclasses import replace

import pytest

from stepzero.core.graph import Graph
from stepzero.core.trace import LossFact
from tests.core.test_trace import DIAMOND


@pytest.mark.parametrize(("roots", "reached"), [({0}, {0, 1, 2, 3, 4}), ({2}, {2, 4}), ({5}, {5}), (set(), set())])
def test_downstream(roots, reached):
    assert Graph(DIAMOND).downstream(roots) == reached


@pytest.mark.parametrize(("roots", "reached"), [({4}, {0, 1, 2, 3, 4}), ({3}, {0, 1, 3}), ({5}, {5}), (set(), set())])
def test_upstream(roots, reached):
    assert Graph(DIAMOND).upstream(roots) == reached


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        (0, 4, {0, 1, 2, 3, 4}),
        (1, 4, {1, 3, 4}),
        (2, 4, {2, 4}),
        (0, 3, {0, 1, 3}),
        (3, 3, {3}),
        (2, 3, set()),
        (0, 5, set()),
    ],
)
def test_between(first, last, found):
    graph = Graph(DIAMOND)
    assert graph.between(first, last) == found
    assert graph.between(first, last) == graph.downstream({first}) & graph.upstream({last})


def test_before_the_loss_is_all_where_it_is_not_known():
    assert Graph(DIAMOND).before_loss == {0, 1, 2, 3, 4, 5}
    known = replace(DIAMOND, loss=LossFact("mse", "given", 1.0, operation=3))
    assert Graph(known).before_loss == {0, 1, 3}
