"""Flags and [tool.stepzero]: which file, which wins, and what the report says of it."""

import json

import pytest

from stepzero.cli import request
from stepzero.core.errors import ConfigError
from tests.cli.support import fault, run


def configured(folder, text, place="pyproject.toml"):
    file = folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


FLAGS = {
    "batch": None,
    "loss": None,
    "select": (),
    "extend_select": (),
    "ignore": (),
    "baseline_file": None,
    "seed": None,
    "seeds": None,
    "timeout": None,
    "deep": None,
    "reference": None,
}


def understood(target="app.mlp:build", **flags):
    options = {"fail_on": None, "config": None, **FLAGS, **flags}
    return request.understood(target, **options)


def test_without_a_file_the_defaults_hold():
    asked = understood()
    assert (asked.seed, asked.seeds, asked.timeout, asked.deep, asked.fail_on) == (0, 1, None, False, "error")
    assert (asked.select, asked.ignore, asked.per_module_ignores, asked.baseline, asked.config) == (
        None,
        None,
        None,
        None,
        "",
    )


def test_the_file_speaks_where_no_flag_does(folder):
    configured(
        folder,
        '[tool.stepzero]\nselect = ["SZ3"]\nfail-on = "warning"\nseed = 5\nseeds = 3\ntimeout = 9\ndeep = true\n'
        'per-module-ignores = {"a.*" = ["SZ305"], "b" = {codes = ["SZ1"], reason = "why"}}\n',
    )
    asked = understood()
    assert (asked.select, asked.fail_on, asked.seed, asked.seeds) == (("SZ301", "SZ303", "SZ305"), "warning", 5, 3)
    assert (asked.timeout, asked.deep) == (9.0, True)
    assert asked.per_module_ignores == {"a.*": ["SZ305"], "b": {"codes": ["SZ1"], "reason": "why"}}
    flags = understood(select=("SZ1",), fail_on="never", seed=0, seeds=1, timeout=1.0)
    assert (flags.select, flags.fail_on, flags.seed, flags.seeds, flags.timeout) == (("SZ101",), "never", 0, 1, 1.0)


def test_the_file_beside_the_target_is_nearer_than_that_of_the_working_directory(folder):
    configured(folder, "[tool.stepzero]\nseed = 1\n")
    configured(folder, "[tool.stepzero]\nseed = 2\n", "app/pyproject.toml")
    assert understood("app.mlp:build").seed == 1
    assert understood("app/mlp.py:build").seed == 2


def test_a_file_can_be_named(folder):
    configured(folder, "[tool.stepzero]\nseed = 1\n")
    other = configured(folder, "[tool.stepzero]\nseed = 7\n", "ci.toml")
    assert understood(config=other).seed == 7
    with pytest.raises(ConfigError, match=r"gone\.toml: expected TOML"):
        understood(config=folder / "gone.toml")


def test_a_baseline_of_the_file_is_relative_to_it(folder):
    configured(folder, '[tool.stepzero]\nbaseline = "base.json"\n', "app/pyproject.toml")
    assert str(understood("app/mlp.py:build").baseline) == "app/base.json"


def test_the_report_says_which_file_was_used(folder):
    configured(folder, '[tool.stepzero]\nfail-on = "warning"\nignore = ["SZ305"]\n')
    report = json.loads(run("check", "app.mlp:build", "--format", "json").stdout)
    assert "configuration: pyproject.toml, [tool.stepzero] ignore, fail-on" in report["conditions"]


def test_the_file_decides_the_exit_code_and_a_flag_wins(api, folder):
    configured(folder, '[tool.stepzero]\nfail-on = "warning"\n')
    api.findings = (fault("warning"),)
    assert run("check", "app.mlp:build").exit_code == 1
    assert run("check", "app.mlp:build", "--fail-on", "error").exit_code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ingore = []", "pyproject.toml: tool.stepzero: no key 'ingore'; did you mean 'ignore'?"),
        ("seeds = 0", "tool.stepzero.seeds: expected a whole number from 1 on, got 0"),
        ("ignore = ['twin-unit']", "tool.stepzero.ignore: no rule 'twin-unit'; did you mean 'twin-units'?"),
    ],
)
def test_a_wrong_file_is_one_line_and_exit_two(folder, text, said):
    configured(folder, f"[tool.stepzero]\n{text}\n")
    result = run("check", "app.mlp:build")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_everything_reaches_the_check(api, folder):
    configured(folder, '[tool.stepzero]\nper-module-ignores = {"fc" = ["SZ305"]}\n')
    (folder / "base.json").write_text('{"entries": []}')
    result = run("check", "app.mlp:build", "--baseline", "base.json", "--seeds", "4")
    assert result.exit_code == 0, result.output
    assert (api.asked.per_module_ignores, api.asked.seeds, api.asked.baseline.name) == (
        {"fc": ["SZ305"]},
        4,
        "base.json",
    )


def test_a_baseline_that_is_missing_is_found_before_anything_runs(api):
    result = run("check", "app.mlp:build", "--baseline", "gone.json")
    assert result.exit_code == 2
    assert "baseline gone.json: no such file; `stepzero baseline write` makes it" in result.stderr
    assert not hasattr(api.asked, "name")
