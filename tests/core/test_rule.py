"""Rule: the docstring is the page, cut at its headings."""

import pytest

from stepzero.core.rule import FAMILIES, HEADINGS
from tests.sample_rule import PAGE, make


def test_the_facts_are_kept():
    made = make(PAGE)
    assert (made.code, made.name, made.tier, made.status) == ("SZ206", "constant-fill", 1, "stable")
    assert (made.needs, made.limits) == (("backward",), ("dead_error",))
    assert FAMILIES[made.family] == "symmetry and redundancy"
    assert made.file.endswith("sample_rule.py")


def test_the_summary_is_the_first_line():
    assert make(PAGE).summary == "One line that says it."


@pytest.mark.parametrize(
    ("heading", "text"),
    [
        ("What it finds", "Words, and a rule of dashes that is no heading:\n-----"),
        ("Why it matters", "It does."),
        ("When it is fine", "Bad luck is not the heading Bad."),
        ("Bad", "::\n\n    class Net:\n        width = 4"),
        ("Good", "Good"),
        ("Fix", ""),
        ("References", "None known."),
    ],
)
def test_sections(heading, text):
    assert make(PAGE).section(heading) == text


def test_sections_cover_every_heading():
    assert all(isinstance(make(PAGE).section(heading), str) for heading in HEADINGS)


def test_a_heading_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        make("One line.\n\nBad\n---\nx").section("Good")


def test_the_page_may_begin_on_the_second_line():
    made = make("\n    One line.\n\n    Bad\n    ---\n    x = 1\n    ")
    assert made.summary == "One line."
    assert made.section("Bad") == "x = 1"


@pytest.mark.parametrize("indent", ["", "    "])
def test_code_keeps_its_own_indentation(indent):
    code = ["def build():", "    return 1"]
    body = "\n".join(indent + line for line in code)
    assert make(f"One line.\n\nBad\n---\n{body}\n").section("Bad") == "\n".join(code)


def test_the_function_judges():
    assert make(PAGE).judge(None, None) == ()
