"""Finding: its id is code and place, whatever the number."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from stepzero.core.finding import RANK, Finding

FINDING = Finding("SZ303", "saturated-units", "warning", ("fc1.weight", "fc1.bias"), "0.6 of the units are saturated")

others = st.fixed_dictionaries(
    {
        "severity": st.sampled_from(list(RANK)),
        "message": st.text(),
        "value": st.none() | st.floats(),
        "limit": st.none() | st.floats(),
        "cause": st.text(),
        "operation": st.none() | st.integers(),
    }
)


def test_the_id_is_code_and_place():
    assert FINDING.id == "SZ303:fc1.weight,fc1.bias"


@given(others)
def test_the_id_does_not_move_with_anything_measured(changes):
    assert dataclasses.replace(FINDING, **changes).id == FINDING.id


@given(st.sampled_from(["SZ101", "SZ305"]), st.lists(st.sampled_from(["a", "b", "c.d"]), max_size=3))
def test_the_id_moves_with_code_and_place(code, where):
    other = dataclasses.replace(FINDING, code=code, where=tuple(where))
    assert other.id != FINDING.id


def test_severities_rank_worst_first():
    assert sorted(RANK, key=RANK.__getitem__) == ["error", "warning", "info"]
