import pytest

from stepzero.measure.words import agree, enumerated, listed


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a"], "a gets"),
        (["a", "b"], "a and 1 more parameter get"),
        (["a", "b", "c"], "a and 2 more parameters get"),
    ],
)
def test_a_list_and_its_verb(names, said):
    assert f"{listed(names, 'parameter')} {agree(names, 'get')}" == said


@pytest.mark.parametrize(
    ("verb", "singular"), [("have", "has"), ("are", "is"), ("change", "changes"), ("wake", "wakes")]
)
def test_verbs_agree(verb, singular):
    assert (agree(["a"], verb), agree(["a", "b"], verb)) == (singular, verb)


@pytest.mark.parametrize(("names", "said"), [("a", "a"), ("abc", "a, b, c"), ("abcde", "a, b, c and 2 more")])
def test_the_first_few_and_a_count(names, said):
    assert enumerated(list(names)) == said
