"""`stepzero check`: what it asks of the measuring, where it writes, how it exits and how it fails."""

import json
import sys
import time

import pytest
import torch

from stepzero.core.errors import ConfigError, IncompleteError, LossError
from stepzero.core.outcome import NotChecked, Report
from tests.cli.support import fault, run, shell


def failure(result):
    """The last line of stderr, which must be the one that stepzero says."""
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("stepzero: ")
    return line


# ---------------------------------------------------------------- what is asked


def test_flags_reach_the_check(api):
    result = run("check", "app.mlp:build", "--batch", "randn(2,4)", "--loss", "mse", "--seed", "7", "--deep")
    assert result.exit_code == 0, result.output
    assert api.asked.batch.shape == (2, 4)
    assert api.asked.batch_is_stand_in is True
    assert (api.asked.loss, api.asked.seed, api.asked.deep) == ("mse", 7, True)
    assert api.asked.name == "app.mlp:build"
    assert isinstance(api.asked.made[0], torch.nn.Module)


def test_a_stand_in_is_told_in_the_report():
    text = run("check", "app.mlp:build", "--batch", "randn(2,4)").stdout
    assert "- batch randn(2,4): random numbers, a stand-in for data" in text
    assert "stand-in" not in run("check", "app.mlp:build").stdout


def test_a_reference_is_read_before_the_target_is_built(api, folder):
    torch.save({"state_dict": {"0.weight": torch.ones(2, 4)}}, folder / "loaded.pt")
    assert run("check", "app.mlp:build", "--reference", "loaded.pt").exit_code == 0
    assert torch.equal(api.asked.reference["state_dict"]["0.weight"], torch.ones(2, 4))
    assert failure(run("check", "app.mlp:build", "--reference", "loadd.pt")).startswith(
        "stepzero: --reference: no file loadd.pt; did you mean 'loaded.pt'?"
    )


def test_without_flags_the_defaults_of_the_check_hold(api):
    run("check", "app.mlp:build")
    assert (api.asked.select, api.asked.ignore, api.asked.batch, api.asked.loss) == (None, None, None, None)
    assert api.asked.batch_is_stand_in is False
    assert api.asked.deep is False


@pytest.mark.parametrize(
    ("flags", "select", "ignore"),
    [
        (["--select", "SZ3"], ("SZ301", "SZ303", "SZ305"), None),
        (["--select", "SZ101,sz201", "--select", "dead-units"], ("SZ101", "SZ201", "SZ305"), None),
        (["--ignore", "SZ3", "--ignore", "twin-units"], None, ("SZ201", "SZ301", "SZ303", "SZ305")),
        (["--extend-select", "SZ305"], ("SZ101", "SZ201", "SZ301", "SZ303", "SZ305"), None),
        (["--select", "SZ1", "--extend-select", "SZ305"], ("SZ101", "SZ305"), None),
    ],
)
def test_codes_prefixes_and_names_select_rules(api, flags, select, ignore):
    assert run("check", "app.mlp:build", *flags).exit_code == 0
    assert (api.asked.select, api.asked.ignore) == (select, ignore)


def test_the_target_does_not_see_our_arguments(folder):
    (folder / "script.py").write_text(
        "import argparse\nfrom torch import nn\np = argparse.ArgumentParser()\np.add_argument('--width', type=int, "
        "default=3)\nargs = p.parse_args()\nbuild = lambda: nn.Linear(args.width, 1)\n"
    )
    before = sys.argv
    assert run("check", "script.py:build", "--batch", "ones(1,3)").exit_code == 0
    assert sys.argv is before


# ---------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("error", "error", 1),
        ("error", "warning", 1),
        ("error", "never", 0),
        ("warning", "error", 0),
        ("warning", "warning", 1),
        ("info", "warning", 0),
        (None, "warning", 0),
    ],
)
def test_the_exit_code_follows_the_worst_root_cause(api, severity, fail_on, code):
    api.findings = (fault(severity),) if severity else ()
    assert run("check", "app.mlp:build", "--fail-on", fail_on).exit_code == code


def test_incomplete_is_three_and_never_hides_findings(api):
    api.incomplete = (NotChecked("SZ305", "the rule crashed"),)
    result = run("check", "app.mlp:build")
    assert result.exit_code == 3
    assert "INCOMPLETE" in result.stdout
    api.findings = (fault(),)
    assert run("check", "app.mlp:build").exit_code == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LossError("unknown loss 'cross_entropi'; did you mean 'cross_entropy'?"), 2),
        (ConfigError("no rule 'SZ999'"), 2),
        (IncompleteError("every parameter is on the meta device"), 3),
    ],
)
def test_what_the_check_refuses_is_one_line(api, error, code):
    api.error = error
    result = run("check", "app.mlp:build")
    assert result.exit_code == code
    assert result.stderr.strip().splitlines() == [f"stepzero: {error}"]
    assert result.stdout == ""


# ---------------------------------------------------------------- where the report goes


def test_stdout_carries_the_report_alone(api, folder):
    (folder / "loud.py").write_text(
        "print('importing')\nfrom app.mlp import build as b\ndef build():\n print(1)\n return b()"
    )
    result = run("check", "loud:build", "--format", "json")
    assert Report.from_json(result.stdout).model == "loud:build"
    assert result.stderr == "importing\n1\n"


def test_a_file_takes_the_report_instead_of_stdout(folder):
    result = run("check", "app.mlp:build", "-o", "out.txt")
    assert result.stdout == ""
    assert (folder / "out.txt").read_text().endswith("seed 0\n")
    run("check", "app.mlp:build", "--format", "json", "--output", "out.json")
    assert json.loads((folder / "out.json").read_text())["model"] == "app.mlp:build"


def test_a_dash_is_stdout(folder):
    assert run("check", "app.mlp:build", "-o", "-").stdout.endswith("seed 0\n")
    assert not (folder / "-").exists()


def test_verbose_reaches_the_renderer(api):
    api.findings = tuple(fault() for _ in range(5))
    assert "-v tells each" in run("check", "app.mlp:build").stdout
    assert "-v tells each" not in run("check", "app.mlp:build", "-v").stdout


def test_only_rank_zero_speaks(api, monkeypatch, folder):
    monkeypatch.setenv("RANK", "1")
    api.findings = (fault(),)
    result = run("check", "app.mlp:build", "-o", "out.txt")
    assert (result.exit_code, result.output) == (1, "")
    assert not (folder / "out.txt").exists()


# ---------------------------------------------------------------- wrong use, each in one line

WRONG = {
    ("app.mlp:bulid",): "no attribute 'bulid' in app.mlp; did you mean 'build'?",
    ("nope.mlp:build",): "no module 'nope' (of nope.mlp)",
    ("app/nope.py:build",): "no file 'nope.py'",
    ("app.mlp:nothing",): "returned None",
    ("app.mlp:Net(width=W)",): "'W' is not a literal",
    ("app.mlp:build", "--batch", "rnadn(3)"): "did you mean 'randn'?",
    ("app.mlp:build", "--batch", "gone.pt"): "no file gone.pt",
    ("app.mlp:build", "--bacth", "x"): "no such option '--bacth'",
    ("app.mlp:build", "--select", "SZ999"): "--select: no rule 'SZ999'",
    ("app.mlp:build", "--select", "SZ302"): "--select: no rule 'SZ302'; did you mean 'SZ30",
    ("app.mlp:build", "--ignore", "twin-unit"): "--ignore: no rule 'twin-unit'; did you mean 'twin-units'?",
    ("app.mlp:build", "--extend-select", "dead"): "--extend-select: no rule 'dead'; did you mean 'dead-units'?",
    ("app.mlp:build", "--fail-on", "errors"): "invalid value for '--fail-on': 'errors' is not one of",
    ("app.mlp:build", "--format", "xml"): "invalid value for '--format': 'xml' is not one of 'text', 'json'",
    ("app.mlp:build", "-o", "gone/out.txt"): "-o gone/out.txt: the folder",
    ("app.mlp:build", "-o", "app"): "-o app: is a folder, expected a file name",
    ("app.mlp:build", "--seed", "x"): "invalid value for '--seed'",
    ("app.mlp:build", "--seed", "-1"): "invalid value for '--seed'",
    ("app.mlp:build", "--timeout", "0"): "invalid value for '--timeout'",
    ("app.mlp:build", "--loss", "app.mlp:my_lss"): "did you mean 'my_loss'?",
    (): "missing argument 'TARGET'",
    ("app.mlp:build", "extra"): "got unexpected extra argument (extra)",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_use_is_one_line_and_exit_two(arguments):
    result = run("check", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert WRONG[arguments] in failure(result)


def test_an_unwritable_file_is_found_before_anything_runs(api, folder, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    result = run("check", "app.mlp:build", "-o", "out.txt")
    assert result.exit_code == 2
    assert "-o out.txt: not writable" in failure(result)
    assert not hasattr(api.asked, "name")


# ---------------------------------------------------------------- the user's traceback first


def test_the_users_traceback_comes_first_and_holds_their_frames_only():
    result = run("check", "app.mlp:broken")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.split(", ")[-1] for line in lines if line.startswith("  File")] == ["in broken", "in deeper"]
    assert "KeyError: 'missing [attn] setting'" in lines
    assert failure(result) == "stepzero: app.mlp:broken could not be built: KeyError: 'missing [attn] setting'"


def test_a_module_that_does_not_import():
    result = run("check", "needy:build")
    assert "needy.py" in result.stderr
    assert "importlib" not in result.stderr
    assert "needy could not be imported: ModuleNotFoundError: No module named 'not_there_at_all'" in failure(result)


def test_a_syntax_error_shows_its_line():
    result = run("check", "wrong.py:build")
    assert "def build(:" in result.stderr
    assert failure(result).startswith("stepzero: wrong.py could not be imported: SyntaxError")


def test_an_exception_of_the_model_keeps_its_note(api):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3))
    try:
        model(torch.ones(1, 4))
    except RuntimeError as error:
        error.add_note("while 0 (Linear) ran")
        api.error = error
    result = run("check", "app.mlp:build")
    assert result.exit_code == 2
    assert "while 0 (Linear) ran" in result.stderr
    assert "torch/nn" not in result.stderr
    assert failure(result).startswith("stepzero: app.mlp:build failed while it ran: RuntimeError: mat1 and mat2")


def test_the_whole_traceback_on_request(monkeypatch):
    monkeypatch.setenv("STEPZERO_DEBUG", "1")
    assert "importing.py" in run("check", "app.mlp:broken").stderr


def test_a_fault_of_stepzero_is_not_blamed_on_the_user(api):
    api.check = Report.from_json
    result = run("check", "app.mlp:build")
    assert result.exit_code == 3
    assert "inside stepzero itself" in failure(result)


def test_an_interrupt_is_130(api):
    api.error = KeyboardInterrupt()
    result = run("check", "app.mlp:build")
    assert result.exit_code == 130
    assert failure(result) == "stepzero: interrupted; nothing was reported"


@pytest.mark.parametrize("code", [0, None, 3])
def test_a_model_that_leaves_does_not_take_the_verdict_with_it(api, code):
    api.error = SystemExit(code)
    result = run("check", "app.mlp:build")
    assert result.exit_code == 2
    assert result.stdout == ""
    told = f"stepzero: app.mlp:build called sys.exit({code}) while it ran, so nothing was checked"
    assert failure(result) == told


# ---------------------------------------------------------------- time


def test_a_timeout_is_an_incomplete_report(folder):
    (folder / "slow.py").write_text("import time\ndef build():\n    time.sleep(30)\n")
    started = time.monotonic()
    result = run("check", "slow:build", "--timeout", "0.2", "--format", "json")
    assert time.monotonic() - started < 10
    assert result.exit_code == 3
    (reason,) = Report.from_json(result.stdout).coverage.incomplete
    assert "out of time after 0.2 s while importing slow:build" in reason.why


def test_the_target_cannot_swallow_the_timeout(folder):
    (folder / "stubborn.py").write_text(
        "import time\ndef build():\n    try:\n        time.sleep(30)\n    except Exception:\n        time.sleep(30)\n"
    )
    assert run("check", "stubborn:build", "--timeout", "0.2").exit_code == 3


def test_a_call_that_never_returns_to_python_is_stopped(folder):
    (folder / "stuck.py").write_text(
        "import signal, time\ndef build():\n    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
        "    time.sleep(60)\n"
    )
    code = (
        "import sys, torch, types\n"
        "api = types.ModuleType('stepzero.api'); api.check = lambda model, **asked: model()\n"
        "import stepzero; stepzero.api = sys.modules['stepzero.api'] = api\n"
        "rules = types.ModuleType('stepzero.rules'); rules.ALL = ()\nsys.modules['stepzero.rules'] = rules\n"
        "from stepzero.cli import deadline, main\ndeadline.GRACE = 0.2\nmain()"
    )
    done = shell("check", "stuck:build", "--timeout", "0.2", "--format", "json", cwd=folder, code=code)
    assert done.returncode == 3, done.stderr
    assert Report.from_json(done.stdout).coverage.incomplete
    assert "stopped" in done.stderr
