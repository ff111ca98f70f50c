"""``stepzero init`` in fresh interpreters."""

import pytest

from tests.cli.support import shell

FILE = """\
import torch
from torch import nn


def build():
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)), torch.randn(64, 8)
"""


@pytest.fixture
def here(tmp_path):
    (tmp_path / "mynet.py").write_text(FILE)
    return tmp_path


def test_the_plan_is_shown_and_the_function_written(here):
    done = shell("init", "mynet.py:build", "--emit", "start.py", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2.weight" in done.stdout
    assert "calibrated 2 weights in 2 forward passes" in done.stdout
    code = "import torch, mynet, start\nprint(start.init_(mynet.build()[0])(torch.ones(1, 8)).shape)"
    ran = shell(cwd=here, code=code)
    assert (ran.stdout, ran.stderr) == ("torch.Size([1, 3])\n", "")


def test_an_unknown_scheme_names_the_nearest(here):
    done = shell("init", "mynet.py:build", "--scheme", "orthogonl", cwd=here)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean 'orthogonal'" in done.stderr


def test_what_is_kept_is_said(here):
    assert "asked for by keep='0.*'" in shell("init", "mynet.py:build", "--keep", "0.*", cwd=here).stdout


def test_a_place_that_cannot_be_written_is_told_first(here):
    done = shell("init", "mynet.py:build", "--emit", "nowhere/start.py", cwd=here)
    assert done.returncode == 2
    assert "does not exist" in done.stderr
