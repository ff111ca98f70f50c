"""One finding over several seeds: how often, how loud, and whether the verdict flips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.core.finding import RANK
from stepzero.core.spread import SeedsFact, Spread

SEVERITIES = st.lists(st.sampled_from(["error", "warning", "info", None]), min_size=1, max_size=6)


def spread(severities, code="SZ305", where=("fc",)):
    return Spread(code, "dead-units", where, tuple(severities), tuple(None for _ in severities))


@pytest.mark.parametrize(
    ("severities", "num_found", "mildest", "flips"),
    [
        (["error", "error"], 2, "error", False),
        (["error", None], 1, None, True),
        (["error", "warning"], 2, "warning", True),
        (["info", None], 1, None, False),
        (["warning", "info"], 2, "info", True),
        ([None, None], 0, None, False),
    ],
)
def test_a_note_and_silence_are_one_verdict(severities, num_found, mildest, flips):
    found = spread(severities)
    assert (found.num_found, found.mildest, found.flips) == (num_found, mildest, flips)


@given(SEVERITIES)
def test_the_order_of_the_seeds_does_not_matter(severities):
    one, two = spread(severities), spread(severities[::-1])
    assert (one.mildest, one.loudest, one.flips, one.num_found) == (two.mildest, two.loudest, two.flips, two.num_found)


@given(SEVERITIES)
def test_the_mildest_is_no_louder_than_the_loudest(severities):
    rank = {**RANK, None: 3}
    assert rank[spread(severities).loudest] <= rank[spread(severities).mildest]


def test_what_every_seed_has_somewhere_does_not_flip_as_a_whole():
    wandering = (spread(["error", None], where=("a",)), spread([None, "error"], where=("b",)))
    (together,) = SeedsFact((0, 1), wandering).flipping
    assert (together.severities, together.mildest, together.where) == (("error", "error"), "error", ("a", "b"))
    assert not together.flips


def test_what_stays_is_not_mixed_with_what_flips():
    steady, flipping = spread(["error", "error"], where=("a",)), spread(["error", None], where=("b",))
    (only,) = SeedsFact((0, 1), (steady, flipping)).flipping
    assert (only.where, only.mildest) == (("b",), None)
    assert SeedsFact((0, 1), (steady,)).flipping == ()
