"""`stepzero explain`: pages, words, and the nearest one for a stranger."""

import pytest

from stepzero.core.glossary import words
from tests.cli.support import run


@pytest.mark.parametrize("topic", ["SZ201", "sz201", "twin-units", "Twin-Units"])
def test_a_page_by_code_or_name(topic):
    result = run("explain", topic)
    assert result.exit_code == 0
    assert result.stdout.startswith("SZ201 twin-units  symmetry and redundancy, stable\n")
    for text in ("What it finds", "Net([attn])", "LeCun 1998."):
        assert text in result.stdout
    assert "----" not in result.stdout
    assert result.stderr == ""


def test_a_page_ends_with_its_limits_and_where_they_come_from():
    assert "drift_slope = 1.25 factor a layer: He 2015" in run("explain", "SZ301").stdout


@pytest.mark.parametrize("word", sorted(words()))
def test_every_word_is_explained_with_the_direction_of_its_threshold(word):
    result = run("explain", word)
    assert result.exit_code == 0
    assert result.stdout.startswith(word + "\n")
    assert "Threshold" in result.stdout


def test_words_of_two_parts_need_no_quotes():
    assert run("explain", "effective", "width").stdout == run("explain", "effective-width").stdout


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("SZ999", "stepzero: no rule or word 'SZ999'"),
        ("SZ302", "no rule or word 'SZ302'; did you mean 'SZ30"),
        ("twin-unit", "no rule or word 'twin-unit'; did you mean 'twin-units'?"),
        ("saturatd", "did you mean 'saturated'?"),
        ("quux", "`stepzero rules` lists the rules, and the words are: dead, saturated"),
    ],
)
def test_an_unknown_topic_names_the_nearest_and_exits_two(topic, said):
    result = run("explain", topic)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_without_a_topic():
    result = run("explain")
    assert result.exit_code == 2
    assert "missing argument 'CODE|NAME|WORD'" in result.stderr
