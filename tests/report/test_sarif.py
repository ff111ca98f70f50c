"""SARIF 2.1.0: what the published schema requires, and what code hosts refuse without."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from stepzero.core.suppression import Suppressed
from stepzero.report.sarif import render
from tests.report.samples import CONSTANT, LOUD, SAMPLES, TWINS, fault, incomplete, sound

REQUIRED = {
    "sarifLog": ("version", "runs"),
    "run": ("tool",),
    "tool": ("driver",),
    "toolComponent": ("name",),
    "reportingDescriptor": ("id",),
    "invocation": ("executionSuccessful",),
    "notification": ("message",),
    "result": ("message",),
}
"""Required properties of the objects that are written (OASIS sarif-schema-2.1.0, ``definitions``)."""
ALLOWED = {
    "run": "tool automationDetails columnKind invocations results properties",
    "toolComponent": "name semanticVersion rules",
    "reportingDescriptor": "id name shortDescription help properties",
    "result": "ruleId ruleIndex level message locations partialFingerprints",
    "location": "physicalLocation logicalLocations",
    "physicalLocation": "artifactLocation region",
    "artifactLocation": "uri uriBaseId",
    "region": "startLine",
    "logicalLocation": "fullyQualifiedName kind",
    "invocation": "executionSuccessful toolExecutionNotifications",
    "notification": "level message",
}
"""Properties written, each of which the schema has; it allows no others (``additionalProperties: false``)."""


def objects(log: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the log with the name of its definition."""
    yield "sarifLog", log
    for run in log["runs"]:
        yield "run", run
        yield "tool", run["tool"]
        yield "toolComponent", run["tool"]["driver"]
        yield from (("reportingDescriptor", rule) for rule in run["tool"]["driver"]["rules"])
        for invocation in run["invocations"]:
            yield "invocation", invocation
            yield from (("notification", each) for each in invocation.get("toolExecutionNotifications", []))
        for result in run["results"]:
            yield "result", result
            for location in result["locations"]:
                yield "location", location
                yield "physicalLocation", location["physicalLocation"]
                yield "artifactLocation", location["physicalLocation"]["artifactLocation"]
                yield "region", location["physicalLocation"]["region"]
                yield from (("logicalLocation", each) for each in location["logicalLocations"])


@pytest.mark.parametrize("name", SAMPLES)
def test_every_object_has_what_the_schema_requires_and_nothing_it_does_not_know(name):
    log = json.loads(render(SAMPLES[name]()))
    assert log["version"] == "2.1.0"
    for kind, item in objects(log):
        assert set(REQUIRED.get(kind, ())) <= set(item), kind
        assert set(item) <= set(ALLOWED.get(kind, " ".join(item)).split()), kind
        if kind in ("result", "notification"):
            assert item["level"] in ("none", "note", "warning", "error")
            assert item["message"]["text"]
        if kind == "region":
            assert item["startLine"] >= 1


@pytest.mark.parametrize("name", SAMPLES)
def test_every_result_has_a_relative_uri_and_a_rule(name):
    (run,) = json.loads(render(SAMPLES[name]()))["runs"]
    for result in run["results"]:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[\w./%-]+", uri)
        assert not uri.startswith(("/", "file:", ".."))
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def results(report):
    return json.loads(render(report))["runs"][0]["results"]


def test_one_result_a_root_cause_with_what_follows_in_its_words(tmp_path):
    codes = [result["ruleId"] for result in results(fault())]
    assert codes == ["SZ206", "SZ501", "SZ603"]
    text = results(fault())[0]["message"]["text"]
    assert "It causes SZ201 twin-units at fc1.weight, fc1.bias" in text
    assert TWINS.code not in codes


def test_a_fingerprint_holds_while_numbers_and_lines_change():
    moved = replace(CONSTANT, message="other", value=3.0, source_line="app/mlp.py:99")
    one, two = (results(replace(sound(), findings=(each,)))[0]["partialFingerprints"] for each in (CONSTANT, moved))
    assert one == two
    assert one != results(replace(sound(), findings=(LOUD,)))[0]["partialFingerprints"]


def test_an_incomplete_check_is_no_success():
    (run,) = json.loads(render(incomplete()))["runs"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "the rule crashed" in invocation["toolExecutionNotifications"][0]["message"]["text"]
    assert json.loads(render(sound()))["runs"][0]["invocations"] == [{"executionSuccessful": True}]


def test_a_suppressed_finding_is_no_alert_and_is_listed():
    report = replace(sound(), suppressed=(Suppressed(CONSTANT, "app/mlp.py:23", "meant"),))
    (run,) = json.loads(render(report))["runs"]
    assert run["results"] == []
    assert run["properties"]["suppressed"] == [
        {"id": CONSTANT.id, "level": "error", "by": "app/mlp.py:23", "reason": "meant"}
    ]


def test_a_code_of_another_version_is_no_crash():
    (run,) = json.loads(render(replace(sound(), findings=(replace(LOUD, code="SZ999"),))))["runs"]
    assert run["tool"]["driver"]["rules"] == [{"id": "SZ999"}]


def test_the_report_offers_it():
    assert fault().to_sarif() == render(fault())
