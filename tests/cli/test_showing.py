"""Every format through the command: pure stdout, files, and the job summary."""

import json
import xml.etree.ElementTree as ET

import pytest

from stepzero.cli.showing import FORMATS
from tests.cli.support import fault, run


@pytest.fixture(autouse=True)
def _one_fault(api, monkeypatch):
    api.findings = (fault(),)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_names_the_finding_and_fails(form, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # a file and a pipe may be read at different widths
    result = run("check", "app.mlp:build", "--format", form)
    assert (result.exit_code, result.stderr) == (1, "")
    assert "SZ201" in result.stdout
    assert result.stdout.endswith("\n")
    run("check", "app.mlp:build", "--format", form, "-o", "report.out")
    assert (folder / "report.out").read_text() == result.stdout


def test_machines_get_what_they_can_parse():
    def said(form):
        return run("check", "app.mlp:build", "--format", form).stdout

    assert json.loads(said("json"))["findings"]
    assert json.loads(said("sarif"))["version"] == "2.1.0"
    assert ET.fromstring(said("junit")).find("testsuite").get("failures") == "1"
    assert said("html").startswith("<!doctype html>")
    assert said("github").startswith("::error file=")


def test_junit_knows_from_where_on_a_finding_fails():
    text = run("check", "app.mlp:build", "--format", "junit", "--fail-on", "never").stdout
    assert ET.fromstring(text).find("testsuite").get("failures") == "0"


def test_a_place_below_the_working_directory_is_relative(folder):
    log = json.loads(run("check", "app/mlp.py:build", "--format", "sarif").stdout)
    (location,) = log["runs"][0]["results"][0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "app/mlp.py"


def test_the_job_summary_is_appended_to(folder, monkeypatch):
    summary = folder / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run("check", "app.mlp:build", "--format", "github")
    assert summary.read_text().startswith("before\n## stepzero: `app.mlp:build`")
    run("check", "app.mlp:build", "--format", "md")
    assert summary.read_text().count("## stepzero") == 1


def test_a_summary_that_cannot_be_written_changes_no_verdict(monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/no/such/folder/summary.md")
    result = run("check", "app.mlp:build", "--format", "github")
    assert result.exit_code == 1
    assert "the job summary was not written" in result.stderr
    assert "SZ201" in result.stdout
