"""Report: JSON there and back, the gate, root causes and consequences."""

import dataclasses
import json
import math

import pytest
from hypothesis import given

from stepzero.core.finding import Finding
from stepzero.core.outcome import Coverage, NotChecked, Report
from tests.strategies import alike, reports


def finding(severity: str, code: str = "SZ101", root: str | None = None) -> Finding:
    return Finding(code, "some-name", severity, ("w",), "a sentence", root=root)


def report(*findings: Finding, incomplete: bool = False) -> Report:
    reasons = (NotChecked("everything", "weights are on meta"),) if incomplete else ()
    return Report("m", findings, (), Coverage(incomplete=reasons))


@given(reports())
def test_json_there_and_back(original):
    assert alike(Report.from_json(original.to_json()), original)


@given(reports())
def test_json_is_pure(original):
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    json.loads(original.to_json(), parse_constant=refuse)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_survive(value):
    loud = dataclasses.replace(report(), loss=value)
    assert json.loads(loud.to_json())["loss"] == str(value)
    assert alike(Report.from_json(loud.to_json()).loss, value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": 3}', b"\xff"])
def test_what_is_no_report_is_a_value_error(text):
    with pytest.raises(ValueError, match="not a stepzero report"):
        Report.from_json(text)


EXIT_CODES = [
    # severity of the one finding, complete?, exit code by --fail-on error, warning, never
    (None, True, (0, 0, 0)),
    ("info", True, (0, 0, 0)),
    ("warning", True, (0, 1, 0)),
    ("error", True, (1, 1, 0)),
    (None, False, (3, 3, 3)),
    ("info", False, (3, 3, 3)),
    ("warning", False, (3, 1, 3)),
    ("error", False, (1, 1, 3)),
]


@pytest.mark.parametrize(("severity", "complete", "codes"), EXIT_CODES)
def test_exit_codes(severity, complete, codes):
    findings = [finding(severity)] if severity else []
    outcome = report(*findings, incomplete=not complete)
    assert tuple(outcome.exit_code(gate) for gate in ("error", "warning", "never")) == codes
    assert outcome.exit_code() == codes[0]


@pytest.mark.parametrize(("severity", "complete", "codes"), EXIT_CODES)
def test_ok_agrees_with_the_exit_code(severity, complete, codes):
    findings = [finding(severity)] if severity else []
    outcome = report(*findings, incomplete=not complete)
    assert outcome.ok() == (codes[0] == 0)
    assert outcome.ok(fail_on="warning") == (codes[1] == 0)


def test_a_consequence_does_not_count():
    root = finding("warning", "SZ206")
    outcome = report(root, finding("error", "SZ402", root=root.id))
    assert outcome.exit_code() == 0
    assert outcome.exit_code("warning") == 1


@pytest.mark.parametrize("word", ["fatal", "", "never "])
def test_an_unknown_gate_is_refused_by_name(word):
    with pytest.raises(ValueError, match="fail_on"):
        report().ok(fail_on=word)
    with pytest.raises(ValueError, match="fail_on"):
        report().exit_code(fail_on=word)


def test_findings_by_severity_and_by_root():
    root, other = finding("error", "SZ206"), finding("info", "SZ603")
    first, second = (finding("warning", code, root=root.id) for code in ("SZ402", "SZ305"))
    outcome = report(root, first, second, other)
    assert outcome.errors == (root,)
    assert outcome.warnings == (first, second)
    assert outcome.notes == (other,)
    assert outcome.root_causes == (root, other)
    assert outcome.consequences(root) == (first, second)
    assert outcome.consequences(other) == ()
