"""JUnit XML: its counts agree with the exit code."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from stepzero.core.suppression import Suppressed
from stepzero.report.junit import render
from tests.report.samples import CONSTANT, LOUD, SAMPLES, fault, incomplete, sound


def suite(report, **options):
    return ET.fromstring(render(report, **options)).find("testsuite")


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("fail_on", ["error", "warning", "never"])
def test_failures_and_errors_agree_with_the_exit_code(name, fail_on):
    report = SAMPLES[name]()
    found = suite(report, fail_on=fail_on)
    code = report.exit_code(fail_on)
    assert (int(found.get("failures")) > 0) is (code == 1)
    assert (int(found.get("errors")) > 0) is not report.is_complete
    assert int(found.get("tests")) == len(found.findall("testcase"))


def test_a_case_a_root_cause_and_one_a_rule_that_found_nothing():
    found = suite(replace(fault(), coverage=replace(fault().coverage, rules_run=("SZ101", "SZ206", "SZ305"))))
    names = [case.get("name") for case in found.findall("testcase")]
    assert names.count("SZ206 constant-weight fc1.weight") == 1
    assert "SZ101 non-finite-value" in names
    assert [name for name in names if name.startswith("SZ305")] == ["SZ305"]  # not judged, not passed
    assert found.find("testcase[@name='SZ305']/skipped") is not None


def test_what_follows_and_the_fix_stand_in_the_failure():
    text = suite(fault()).find("testcase/failure").text
    assert "causes SZ201 twin-units" in text
    assert "at app/mlp.py:23" in text
    assert "fix: redraw fc1.weight" in text


def test_suppressed_is_skipped_with_its_reason():
    found = suite(replace(sound(), suppressed=(Suppressed(CONSTANT, "ignore", "meant"),)))
    skipped = found.find("testcase/skipped")
    assert skipped.get("message") == "suppressed by ignore meant"
    assert found.get("failures") == "0"


def test_incomplete_is_an_error():
    assert int(suite(incomplete()).get("errors")) == 2


def test_names_with_markup_and_control_characters_survive():
    wild = replace(LOUD, where=("<b>&\x07",), message='"quoted" ]]> \x1b[31m')
    found = suite(replace(sound(), findings=(wild,), model="<net>&"), fail_on="warning")
    case = found.find("testcase[failure]")
    assert case.get("classname") == "<net>&"
    assert "<b>&" in case.get("name")
