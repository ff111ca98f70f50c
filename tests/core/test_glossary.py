"""Words and the direction of their thresholds."""

from dataclasses import replace

import pytest

from stepzero.core.glossary import words
from stepzero.core.limits import Limits
from stepzero.rules import ALL

MET = """dead saturated redundant stuck delayed unused symmetry idiom
twin_units lumped_units dead_product effective_width matched_control virtual_step root_cause""".split()


@pytest.mark.parametrize("word", [word.replace("_", " ") for word in MET])
def test_the_words_users_meet_are_there(word):
    assert words()[word].name == word


def test_rules_that_a_word_names_exist_and_are_sorted():
    known = {rule.code for rule in ALL}
    for word in words().values():
        assert list(word.codes) == sorted(set(word.codes) & known), word.name


@pytest.mark.parametrize("word", words().values(), ids=words())
def test_each_word_says_what_it_means_when_it_is_said_and_what_it_is_not(word):
    assert word.meaning.endswith(".")
    assert word.threshold.endswith(".")
    assert word.not_to_confuse.endswith(".")


def test_numbers_come_from_the_limits():
    assert "10%" in words()["dead"].threshold
    assert "25%" in words(replace(Limits(), dead_warning=0.25))["dead"].threshold


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("dead", "The higher"),
        ("saturated", "The higher"),
        ("effective width", "Lower is worse"),
        ("stuck", "at or below"),
        ("delayed", "rises above"),
    ],
)
def test_the_direction_of_the_threshold_is_said(name, direction):
    assert direction in words()[name].threshold
