"""The whole way through fresh interpreters and a real terminal, with the shipped rules."""

import json
import os
import pty
import re
import select
import subprocess
import sys

import pytest

from stepzero.core.outcome import Report
from tests.cli.support import SOURCE, shell

MODELS = """\
import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self, width=16, *, is_written=True):
        super().__init__()
        self.first = nn.Linear(4, width)
        self.scale = nn.Parameter(torch.ones(width) if is_written else torch.empty(width))
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.first(x)) * self.scale)


def sound():
    return Scaled(), (torch.randn(8, 4), torch.randint(3, (8,)))


def unwritten():
    print("building")
    return Scaled(is_written=False), torch.randn(8, 4)


def mismatched():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(4, 2)), torch.ones(8, 4)


class Raises(Scaled):
    def forward(self, x):
        raise ValueError("no such mode [attn]")


def raises():
    return Raises(), torch.ones(8, 4)
"""


@pytest.fixture(autouse=True)
def models(folder):
    (folder / "models.py").write_text(MODELS)
    return folder


def check(models, *arguments, **environment):
    return shell("check", *arguments, cwd=models, **environment)


def test_a_sound_model_is_zero(models):
    done = check(models, "models:sound")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("models:sound  147 parameters, 2 weighted operations, loss ")
    assert "2 of 2 weighted operations checked; model left unchanged; seed 0" in done.stdout.splitlines()[-1]


def test_unwritten_memory_is_one_and_json_is_pure(models):
    done = check(models, "models.py:unwritten", "--select", "SZ102", "--format", "json")
    assert done.returncode == 1, done.stderr
    assert set(done.stderr.split()) == {"building"}
    report = Report.from_json(done.stdout)
    assert [(finding.code, finding.where) for finding in report.findings] == [("SZ102", ("scale",))]
    assert report.findings[0].source_line == "models.py:22"
    json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.slow
def test_two_runs_are_equal(models):
    first, second = (check(models, "models:Scaled(width=5)", "--batch", "randn(8,4)", "--seed", "3") for _ in range(2))
    assert first.stdout == second.stdout
    assert first.returncode == 0, first.stderr


@pytest.mark.slow
def test_a_shape_that_does_not_fit_names_the_layer(models):
    done = check(models, "models:mismatched")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "forward of '2'" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "stepzero: models:mismatched failed while it ran: RuntimeError: mat1"
    )


def test_an_exception_in_the_users_forward_shows_their_line(models):
    done = check(models, "models:raises")
    assert done.returncode == 2
    frames = [line for line in done.stderr.splitlines() if line.startswith("  File")]
    assert len(frames) == 1
    assert "models.py" in frames[0]
    assert "in forward" in frames[0]
    assert done.stderr.splitlines()[-1].endswith("ValueError: no such mode [attn]")


@pytest.mark.slow
def test_an_unknown_loss_is_one_line(models):
    done = check(models, "models:sound", "--loss", "cross_entropi")
    assert done.returncode == 2
    assert "did you mean 'cross_entropy'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nothing_to_check_is_three(models):
    done = check(models, "torch.nn:ReLU()", "--batch", "randn(8,4)")
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines()[-1].startswith("INCOMPLETE")


def test_a_terminal_gets_its_width_and_color_and_progress_that_goes_away(models):
    screen, code = on_a_terminal(models, 80)
    assert code == 1
    assert "\x1b[1;31mERROR" in screen
    assert "one forward and one backward ..." in screen
    report = re.sub(r"\x1b\[[0-9;]*m", "", screen).rpartition("\x1b[2K")[2].splitlines()
    assert max(map(len, report)) <= 80
    assert not any(line.startswith("  layer ") for line in report)


@pytest.mark.slow
def test_no_color_is_respected_on_a_terminal(models):
    screen, _ = on_a_terminal(models, 120, NO_COLOR="1")
    assert "\x1b[1" not in screen
    assert "  layer  " in screen


def on_a_terminal(folder, columns, **environment):
    """Run the check of `unwritten` in a pseudo-terminal; what appeared on it, and the exit code."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    ours, theirs = pty.openpty()
    os.system(f"stty cols {columns} rows 50 < {os.ttyname(theirs)}")
    process = subprocess.Popen(
        [sys.executable, "-m", "stepzero", "check", "models:unwritten", "--select", "SZ102"],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(SOURCE), "TERM": "xterm", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(ours)
    return seen.decode().replace("\r\n", "\n"), process.wait(60)
