"""`stepzero explain`: pages, words, and the nearest one for a stranger."""

import dataclasses
import sys

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


LONG = " + ".join("1" * 40)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_prose_is_filled_to_the_terminal_and_code_is_indented(rules, monkeypatch, columns):
    words = "Prose of a page that is far too long for one line of any terminal it may be read on. " * 3
    page = (
        f"Lead.\n\nWhat it finds\n-------------\n{words}\n\nBad\n---\nimport torch\n\ndef build():\n    return {LONG}\n"
    )
    changed = dataclasses.replace(rules[0], page=page)
    monkeypatch.setattr(sys.modules["stepzero.rules"], "ALL", (changed,))
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run("explain", "SZ101").stdout.splitlines()
    start = lines.index("Bad")
    code = lines[start + 1 :]
    assert code == ["    import torch", "", "    def build():", f"        return {LONG}"]
    assert all(len(line) <= min(columns, 100) for line in lines[:start])
    assert " ".join(lines[5 : start - 1]) == words.strip()


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
