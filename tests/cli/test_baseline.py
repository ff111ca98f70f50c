"""`stepzero baseline`: written whole or not at all, and only from a complete check."""

import json
from dataclasses import replace

import pytest

from stepzero.core.outcome import NotChecked
from tests.cli.support import fault, run

FILE = "stepzero-baseline.json"


def entries(folder, name=FILE):
    return [(entry["code"], entry["place"]) for entry in json.loads((folder / name).read_text())["entries"]]


def test_writing_says_what_is_new_and_exits_zero(api, folder):
    api.findings = (fault(),)
    result = run("baseline", "write", "app.mlp:build")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"+ SZ201 fc1.weight\n{FILE}: 1 entry, 1 new, 0 gone, 0 changed\n"
    assert entries(folder) == [("SZ201", "fc1.weight")]


def test_writing_again_leaves_the_file_alone(api, folder):
    api.findings = (fault(),)
    run("baseline", "write", "app.mlp:build")
    before = (folder / FILE).stat().st_mtime_ns
    assert "0 new, 0 gone, 0 changed" in run("baseline", "write", "app.mlp:build", "--seed", "9").stdout
    assert (folder / FILE).stat().st_mtime_ns == before


def test_pruning_drops_what_is_gone_and_adds_nothing(api, folder):
    other = replace(fault(), where=("head.weight",))
    api.findings = (fault(), other)
    run("baseline", "write", "app.mlp:build", "--baseline", "b.json")
    api.findings = (other, replace(fault(), where=("new.weight",)))
    result = run("baseline", "prune", "app.mlp:build", "--baseline", "b.json")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "- SZ201 fc1.weight")
    assert entries(folder, "b.json") == [("SZ201", "head.weight")]


@pytest.mark.parametrize("command", ["write", "prune"])
def test_an_incomplete_check_writes_nothing(api, folder, command):
    api.findings = (fault(),)
    run("baseline", "write", "app.mlp:build")
    before = (folder / FILE).read_text()
    api.findings, api.incomplete = (), (NotChecked("SZ305", "the rule crashed"),)
    result = run("baseline", command, "app.mlp:build")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "the check was incomplete (SZ305: the rule crashed); nothing was written" in result.stderr
    assert (folder / FILE).read_text() == before


def test_the_baseline_that_is_being_written_does_not_hide_anything(api, folder):
    api.findings = (fault(),)
    run("baseline", "write", "app.mlp:build")
    assert api.asked.baseline is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prune", "app.mlp:build"], f"baseline {FILE}: no such file"),
        (["prune", "app.mlp:build", "--baseline", "gone/b.json"], "baseline gone/b.json: no such file"),
        (["write", "app.mlp:build", "--baseline", "gone/b.json"], "--baseline gone/b.json: the folder"),
        (["write", "app.mlp:build", "--baseline", "app/mlp.py"], "expected a file of `stepzero baseline write`"),
        (["write"], "missing argument 'TARGET'"),
        (["wirte", "x"], "no such command 'wirte'"),
        (["write", "app.mlp:bulid"], "did you mean 'build'?"),
    ],
)
def test_wrong_use_is_one_line_and_exit_two(folder, arguments, said):
    before = (folder / "app" / "mlp.py").read_text()
    result = run("baseline", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert (folder / "app" / "mlp.py").read_text() == before


def test_nothing_is_left_beside_the_file(api, folder):
    run("baseline", "write", "app.mlp:build", "--baseline", "b.json")
    assert [file.name for file in folder.iterdir() if "b.json" in file.name] == ["b.json"]
