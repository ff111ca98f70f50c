"""Accepted idioms in the text report: short, grouped, and all of them with -v."""

from dataclasses import replace

import pytest

from stepzero.core.outcome import Accepted, Coverage
from stepzero.report import accepted
from stepzero.report.text import render
from tests.report.samples import sound

BRANCHES = tuple(
    Accepted("identity branch", (f"blocks.{number}.last.weight",), "adds exactly 0; live at step 0")
    for number in range(12)
)
KINDS = tuple(
    Accepted(idiom, (f"{idiom.replace(' ', '_')}.weight",), f"{'a reason of some length ' * 4}{idiom}; live at step 0")
    for idiom in ("zero head", "tied weights", "prior bias", "padding row", "gate bias", "frozen copy")
)


def report(*idioms):
    return replace(sound(), coverage=replace(sound().coverage, accepted=idioms))


def test_places_of_a_kind_are_counted():
    (line,) = accepted.lines(report(*BRANCHES), 140, verbose=False)
    assert line == ("  identity branch x 12  blocks.0.last.weight and 11 more: adds exactly 0; live at step 0")


@pytest.mark.parametrize("width", [60, 80, 99])
def test_six_lines_at_most_and_the_rest_by_number(width):
    lines = accepted.lines(report(*KINDS, *BRANCHES), width, verbose=False)
    assert len(lines) <= accepted.MOST_LINES + 2
    assert all(len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    for idiom in {each.idiom for each in (*KINDS, *BRANCHES)}:
        assert idiom in text, "no kind is left out"
    assert "(-v tells each)" in text


def test_the_most_frequent_comes_first_and_the_most_frequent_reason_speaks():
    odd = replace(BRANCHES[0], why="another reason")
    lines = accepted.lines(report(KINDS[0], odd, *BRANCHES), 140, verbose=False)
    assert lines[0].startswith("  identity branch x 13  blocks.0.last.weight")
    assert "adds exactly 0" in lines[0]


def test_verbose_names_every_place_and_every_reason():
    odd = replace(BRANCHES[0], where=("odd.weight",), why="another reason")
    text = " ".join(accepted.lines(report(odd, *BRANCHES), 140, verbose=True))
    assert "another reason" in text
    for branch in BRANCHES:
        assert branch.where[0] in text


def test_the_section_is_there_only_when_there_is_something():
    assert "Accepted idioms" in render(report(*BRANCHES))
    assert "Accepted idioms" not in render(replace(sound(), coverage=Coverage()))


def test_a_name_cannot_reach_the_terminal():
    loud = replace(BRANCHES[0], where=("a\x1b[31m",), why="b\x1b[0m")
    assert "\x1b" not in "".join(accepted.lines(report(loud), 80, verbose=False))
    assert "\x1b" not in "".join(accepted.lines(report(loud, loud), 80, verbose=False))
