"""Groups of names that a relation holds together."""

from hypothesis import given
from hypothesis import strategies as st

from stepzero.measure.relation import connected


def test_names_without_partners_stand_in_no_group():
    assert connected({"a": {"c"}, "b": set(), "c": {"a"}}) == [("a", "c")]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=15))
def test_groups_are_those_that_steps_along_the_relation_reach(edges):
    pairs = {str(number): set() for number in range(10)}
    for one, other in edges:
        if one != other:
            pairs[str(one)].add(str(other))
            pairs[str(other)].add(str(one))
    groups = connected(pairs)
    assert sorted(name for group in groups for name in group) == [name for name in pairs if pairs[name]]
    for group in groups:
        assert all(pairs[name] <= set(group) for name in group)
        reached = {group[0]}
        for _ in group:
            reached |= {other for name in reached for other in pairs[name]}
        assert reached == set(group)
