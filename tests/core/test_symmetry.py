"""The nouns of symmetry count what they say, and survive JSON inside a Trace."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepzero.core.symmetry import FOREVER, NO_SYMMETRY, Member, Siblings, SymmetryFact, UnitBlock, Width
from stepzero.core.trace import Trace
from tests.strategies import alike, every_field, register


def symmetries():
    """Any fact, also one that makes no sense."""
    register()
    blocks = every_field(
        UnitBlock,
        level=st.sampled_from(["twins", "lumped", "rows", "mirrored", "scaled"]),
        members=st.lists(every_field(Member, units=st.lists(st.integers(0, 9)).map(tuple)), max_size=3).map(tuple),
    )
    return every_field(
        SymmetryFact,
        blocks=st.lists(blocks, max_size=3).map(tuple),
        widths=st.lists(every_field(Width), max_size=3).map(tuple),
        siblings=st.lists(every_field(Siblings), max_size=3).map(tuple),
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(symmetries())
def test_a_trace_brings_it_back(fact):
    assert alike(Trace.from_json(Trace("m", symmetry=fact).to_json()).symmetry, fact)


def test_a_trace_without_it_says_that_the_probe_did_not_run():
    assert Trace.from_json(Trace("m").to_json()).symmetry == NO_SYMMETRY
    assert not NO_SYMMETRY.ran


@pytest.mark.parametrize(
    "text", ['{"model":"m","symmetry":{"ran":true,"blocks":[{"level":"clones","members":[],"gap":0}]}}']
)
def test_a_level_nobody_knows_is_refused(text):
    with pytest.raises(ValueError, match="not a stepzero trace"):
        Trace.from_json(text)


def test_a_block_counts_its_units_over_all_weights():
    block = UnitBlock("twins", (Member("a", (0, 1)), Member("b", (4,))), 0.0)
    assert block.size == 3
    assert UnitBlock("rows", (), 0.0).size == 0


@pytest.mark.parametrize(("units", "distinct", "share"), [(8, 8, 1.0), (8, 1, 0.125), (0, 0, 1.0)])
def test_effective_width_is_a_share(units, distinct, share):
    assert Width("a", units, distinct).share == share


def test_only_levels_that_gradient_descent_keeps_for_any_activation_last():
    assert {"twins", "lumped", "mirrored"} == FOREVER
