"""`stepzero diff`: saved reports and targets, and an exit code for what is new."""

import json

import pytest

from stepzero.core.outcome import NotChecked
from tests.cli.support import fault, run


@pytest.fixture
def saved(api, folder):
    run("check", "app.mlp:build", "--format", "json", "-o", "sound.json")
    api.findings = (fault(),)
    run("check", "app.mlp:build", "--format", "json", "-o", "faulty.json")
    api.findings = (fault("warning"),)
    run("check", "app.mlp:build", "--format", "json", "-o", "mild.json")
    api.findings = ()
    return folder


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["sound.json", "sound.json"], 0),
        (["faulty.json", "faulty.json"], 0),
        (["sound.json", "faulty.json"], 1),
        (["faulty.json", "sound.json"], 0),
        (["sound.json", "mild.json"], 0),
        (["sound.json", "mild.json", "--fail-on", "warning"], 1),
        (["mild.json", "faulty.json"], 1),
        (["faulty.json", "mild.json"], 0),
        (["sound.json", "faulty.json", "--fail-on", "never"], 0),
        (["sound.json", "app.mlp:build"], 0),
        (["app.mlp:build", "faulty.json"], 1),
    ],
)
def test_what_is_new_or_louder_decides(saved, arguments, code):
    result = run("diff", *arguments)
    assert (result.exit_code, result.stderr) == (code, "")


def test_text_and_json(saved):
    assert "+ error SZ201 twin-units  fc1.weight" in run("diff", "sound.json", "faulty.json").stdout
    found = json.loads(run("diff", "sound.json", "faulty.json", "--format", "json").stdout)
    assert [finding["code"] for finding in found["new"]] == ["SZ201"]
    run("diff", "sound.json", "faulty.json", "-o", "d.txt")
    assert "SZ201" in (saved / "d.txt").read_text()


def test_two_targets_are_checked_in_the_same_way(api):
    result = run("diff", "app.mlp:build", "app.mlp:build", "--seed", "4", "--select", "SZ1")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "no difference")
    assert (api.asked.seed, api.asked.select) == (4, ("SZ101",))


def test_incomplete_is_three_unless_something_is_new(saved, api):
    api.incomplete = (NotChecked("SZ305", "the rule crashed"),)
    assert run("diff", "sound.json", "app.mlp:build").exit_code == 3
    api.findings = (fault(),)
    assert run("diff", "sound.json", "app.mlp:build").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sond.json", "sound.json"], "sond.json: no such file; did you mean 'sound.json'?"),
        (["sound.json", "app/bad.json"], "app/bad.json: not a stepzero report"),
        (["sound.json", "nothing"], "nothing: no such file; expected a saved report, or a TARGET"),
        (["sound.json", "app.mlp:bulid"], "did you mean 'build'?"),
        (["sound.json"], "missing argument 'B'"),
        (["sound.json", "sound.json", "-o", "gone/x"], "-o gone/x: the folder"),
    ],
)
def test_wrong_use_is_one_line_and_exit_two(saved, arguments, said):
    (saved / "app" / "bad.json").write_text("[1]")
    result = run("diff", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
