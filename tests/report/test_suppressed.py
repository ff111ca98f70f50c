"""Suppressed findings in the text report."""

from dataclasses import replace

from stepzero.core.suppression import Suppressed
from stepzero.report.suppressed import lines
from tests.report.samples import CONSTANT, LOUD, sound


def report(*hidden):
    return replace(sound(), suppressed=hidden)


def test_nothing_hidden_is_nothing_told():
    assert lines(report(), 100) == []
    assert "Suppressed" not in report().to_text()


def test_one_line_by_origin_with_the_reason():
    told = lines(report(Suppressed(CONSTANT, "app/mlp.py:23", "the loader fills it"), Suppressed(LOUD, "ignore")), 200)
    assert told == [
        "  1 finding by app/mlp.py:23 (the loader fills it): error SZ206 constant-weight fc1.weight",
        "  1 finding by ignore: warning SZ501 loud-start head.weight",
    ]


def test_many_of_one_origin_are_counted_unless_asked_for():
    hidden = report(*(Suppressed(replace(LOUD, where=(f"h.{index}",)), "ignore") for index in range(9)))
    assert "9 findings by ignore" in lines(hidden, 500)[0]
    assert lines(hidden, 500)[0].endswith("6 more")
    assert "h.8" in lines(hidden, 2000, verbose=True)[0]


def test_the_summary_counts_them():
    text = report(Suppressed(LOUD, "ignore")).to_text()
    assert text.splitlines()[-1].startswith("0 errors, 0 warnings, 0 notes, 1 suppressed; ")
