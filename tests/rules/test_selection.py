"""From codes, prefixes and names to rules."""

import pytest

from stepzero import rules
from stepzero.core.errors import ConfigError
from stepzero.rules import selection


def test_everything_that_is_not_deprecated_is_chosen_by_default():
    assert selection.chosen(None) == tuple(rule for rule in rules.ALL if rule.status != "deprecated")


def test_codes_prefixes_and_names_come_back_in_order():
    assert selection.codes(["dead-units", "SZ101"], "ignore") == ("SZ101", "SZ305")
    assert selection.codes("SZ101, SZ102", "ignore") == ("SZ101", "SZ102")
    family = selection.codes("SZ1", "ignore")
    assert set(family) == {rule.code for rule in rules.ALL if rule.family == 1}
    assert selection.codes(None, "ignore") == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["SZ3O5"], "x: no rule 'SZ3O5'; did you mean 'SZ305'?; `stepzero rules` lists all of them"),
        (["dead-unit"], "did you mean 'dead-units'?"),
        ([""], "x: no rule ''"),
        (7, "x: expected codes, names or prefixes such as 'SZ1', got 7"),
    ],
)
def test_a_stranger_is_refused_by_name(given, said):
    with pytest.raises(ConfigError) as caught:
        selection.codes(given, "x")
    assert said in str(caught.value)


def test_one_rule_is_loaded_by_its_code():
    assert rules.load("SZ305").name == "dead-units"
    with pytest.raises(KeyError):
        rules.load("SZ999")
    with pytest.raises(AttributeError, match="no attribute 'SOME'"):
        _ = rules.SOME
