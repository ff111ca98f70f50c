"""`stepzero rules`."""

import json

from tests.cli.support import run


def test_the_list_groups_rules_by_family():
    result = run("rules")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "SZ1 memory and provenance"
    assert "  SZ201  twin-units        Units that are copies of one another." in lines
    assert lines[-1].startswith("5 rules; ")


def test_a_status_other_than_stable_is_told():
    assert "(preview)" in run("rules").stdout
    assert "(stable)" not in run("rules").stdout


def test_json_has_limits_with_unit_and_source():
    listed = json.loads(run("rules", "--format", "json").stdout)
    assert [rule["code"] for rule in listed] == ["SZ101", "SZ201", "SZ301", "SZ303", "SZ305"]
    assert listed[2]["limits"]["drift_slope"]["value"] == 1.25
    assert listed[2]["limits"]["drift_slope"]["source"].startswith("He 2015")
    assert listed[2]["family"] == "forward signal"


def test_a_wrong_format_is_one_line():
    result = run("rules", "--format", "xml")
    assert result.exit_code == 2
    assert "'xml' is not one of 'text', 'json'" in result.stderr
