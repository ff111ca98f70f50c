"""Markdown: everything is told, and nothing in a name is read as markup."""

from dataclasses import replace

import pytest

from stepzero.core.suppression import Suppressed
from stepzero.report.markdown import code, escape, render
from tests.report.samples import CONSTANT, LOUD, SAMPLES, fault, incomplete, sound


@pytest.mark.parametrize("name", SAMPLES)
def test_every_root_cause_is_named(name):
    report, text = SAMPLES[name](), render(SAMPLES[name]())
    for finding in report.root_causes:
        assert finding.code in text
        assert f"`{finding.where[0]}`" in text
    assert text.endswith("\n")


def test_cause_fix_and_what_follows():
    lines = render(fault()).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("- **Error SZ206 constant-weight**"))
    assert lines[start].startswith("- **Error SZ206 constant-weight** `fc1.weight` (`app/mlp.py:23`): all 100,352")
    assert lines[start + 1] == r"  - fix: redraw fc1.weight by kaiming\_normal (safe)"
    assert "causes error SZ201 twin-units `fc1.weight, fc1.bias`" in lines[start + 2]


def test_incomplete_suppressed_and_none():
    assert "**Incomplete, no verdict**: SZ305 dead-units: the rule crashed" in render(incomplete())
    assert "No finding." in render(sound())
    hidden = render(replace(sound(), suppressed=(Suppressed(CONSTANT, "a.py:3", "meant"),)))
    assert "- 1 finding by a.py:3 (meant): error SZ206" in hidden


def test_a_table_of_many_layers_is_shortened_and_keeps_its_columns():
    rows = [line for line in render(SAMPLES["blocks"]()).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert any("more" in line for line in rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a*b_c", r"a\*b\_c"),
        ("<script>", r"\<script\>"),
        ("[link](x)", r"\[link\](x)"),
        ("a & b", "a &amp; b"),
        ("@team", "@\u200bteam"),
        ("# head", r"\# head"),
    ],
)
def test_markup_is_escaped(text, expected):
    assert escape(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("fc", "`fc`"), ("a`b", "``a`b``"), ("`a`", "`` `a` ``"), ("a\nb", "`a b`")]
)
def test_code_spans_hold_backticks(text, expected):
    assert code(text) == expected


def test_a_pipe_in_a_name_breaks_no_table():
    report = sound()
    wild = replace(report, layers=tuple(replace(row, path="a|b") for row in report.layers))
    rows = [line for line in render(wild).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_many_findings_stay_below_the_limit_of_a_summary():
    crowd = tuple(replace(LOUD, where=(f"h.{index}",)) for index in range(5000))
    assert len(render(replace(sound(), findings=crowd)).encode()) < 1_000_000
