"""Words and the direction of their thresholds."""

from dataclasses import replace

import pytest

from stepzero.core.glossary import words
from stepzero.core.limits import Limits


def test_the_words_users_meet_are_there():
    for word in ("dead", "saturated", "redundant", "stuck", "delayed", "twin", "effective width"):
        assert words()[word].name == word


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
