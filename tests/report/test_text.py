"""The text report: golden files for how it reads, properties for what it must say."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from stepzero.core.outcome import Coverage, NotChecked, Report
from stepzero.report.text import render
from tests.report.samples import CONSTANT, LOUD, NOTE, SAMPLES, blocks, fault, incomplete, sound

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("name", SAMPLES)
def test_it_reads_as_it_did(name, width):
    """Delete the golden file and run twice to accept a change."""
    file = GOLDEN / f"{name}_{width}.txt"
    text = render(SAMPLES[name](), width=width)
    if not file.exists():
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        pytest.fail(f"wrote {file.name}: look at it and run again")
    assert text == file.read_text(encoding="utf-8")


def last(report, **options):
    return render(report, **options).splitlines()[-1]


def test_the_last_line_has_everything():
    assert last(fault()) == (
        "2 errors (1 root cause), 2 warnings, 1 note; 3 of 3 weighted operations checked; model left unchanged; seed 0"
    )


def test_the_last_line_is_one_line_at_any_width():
    for width in (40, 79, 99):
        assert last(fault(), width=width) == (
            "2 errors (1 root), 2 warnings, 1 note; 3/3 operations; model unchanged; seed 0"
        )


def test_counts_of_none_and_one():
    assert last(sound()).startswith("0 errors, 0 warnings, 0 notes; ")
    single = replace(sound(), findings=(LOUD,), coverage=Coverage(1, 1))
    assert last(single).startswith("0 errors, 1 warning, 0 notes; 1 of 1 weighted operation checked")


@pytest.mark.parametrize("width", [80, 140])
def test_numbers_of_a_thousand_and_more_are_written_in_one_way(width):
    layers = tuple(replace(layer, fan_in=4608.0, units=3072, distinct=1024) for layer in sound().layers)
    large = replace(sound(), layers=layers, coverage=Coverage(1204, 1204, 2408, 2408, ("SZ101",) * 1100))
    text = render(large, width=width)
    assert re.findall(r"(?<![.\d])\d{4,}", text) == []
    assert ("1,204/1,204 operations" if width < 100 else "1,204 of 1,204 weighted operations checked") in text


def test_a_changed_model_is_said_aloud():
    assert "MODEL WAS CHANGED" in last(replace(sound(), is_unchanged=False))


def test_the_worst_root_cause_comes_first_whatever_the_order_of_findings():
    lines = render(replace(fault(), findings=(NOTE, LOUD, CONSTANT))).splitlines()
    assert lines[2].startswith("ERROR    SZ206 constant-weight  fc1.weight  app/mlp.py:23")


def test_every_finding_of_the_report_is_named_somewhere():
    text = render(fault())
    for finding in fault().findings:
        assert finding.code in text
        assert finding.message.split(",")[0] in " ".join(text.replace("│", " ").split())


def test_incomplete_says_so_first_and_last_and_never_that_all_is_well():
    text = render(incomplete())
    assert text.index("INCOMPLETE") < text.index("By layer")
    assert "the rule crashed: IndexError" in text
    assert "NO FAULT FOUND" not in text
    assert last(incomplete()).startswith("INCOMPLETE; ")


def test_nothing_found_says_what_was_checked():
    text = " ".join(render(sound()).split())
    assert (
        "NO FAULT FOUND 32 rules looked at 3 of 3 weighted operations and 7 of 7 parameter tensors and reported no "
        "error and no warning"
    ) in text


def test_notes_alone_are_no_fault():
    text = render(replace(sound(), findings=(NOTE,)))
    assert "NO FAULT FOUND" in text
    assert "SZ603 redundant-parameter  norm.bias" in text


def test_an_empty_report_still_reads():
    report = Report("m", (), (), Coverage(incomplete=(NotChecked("everything", "out of time"),)))
    text = render(report)
    assert "everything: out of time" in text
    assert "By layer" not in text


def test_a_tall_report_names_the_worst_again_before_the_last_line():
    lines = render(blocks(), width=80).splitlines()
    assert lines[-2].startswith("Worst: warning SZ302 off-law-scale  transformer.h.0.mlp.c_proj.weight")
    assert not any(line.startswith("Worst") for line in render(blocks(off=0), width=80).splitlines())


@pytest.mark.parametrize("width", [40, 60, 80, 99, 100, 120, 140, 200])
@pytest.mark.parametrize("name", SAMPLES)
def test_no_line_is_wider_than_asked_but_for_one_long_word(name, width):
    for line in render(SAMPLES[name](), width=width).splitlines()[:-2]:
        assert len(line) <= width or len(line.split()) <= 3, line


def test_no_escape_without_color_and_the_same_words_with_it():
    plain, colored = render(fault(), width=140), render(fault(), width=140, color=True)
    assert "\x1b" not in plain
    assert "\x1b[1;31mERROR" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_names_with_markup_and_control_characters_survive():
    nasty = replace(CONSTANT, where=("blocks[attn].[bold]x[/bold]", "a\x1b[31mb"), message="see [red]this[/red]\nnow")
    text = render(replace(fault(), model="[m]\x07", findings=(nasty,)), color=True)
    for survivor in ("blocks[attn].[bold]x[/bold]", "a\\x1b[31mb", "see [red]this[/red] now", "[m]\\x07"):
        assert survivor in text


def test_the_loss_is_told_once():
    report = replace(fault(), conditions=("loss: cross_entropy assumed from output (64, 10) and target (64,) int64",))
    assert render(report).count("cross_entropy") == 1
    assert "- loss: cross_entropy" in render(report)


def test_reasons_are_told_once_with_the_places_they_hold_for():
    entries = tuple(NotChecked(f"SZ30{digit}", "8 positions, 32 needed") for digit in range(5))
    report = replace(sound(), coverage=replace(sound().coverage, not_judged=entries, skipped=()))
    assert "- SZ300, SZ301, SZ302 and 2 more: 8 positions, 32 needed" in render(report)
    assert "SZ300, SZ301, SZ302, SZ303, SZ304: 8" in render(report, verbose=True)
