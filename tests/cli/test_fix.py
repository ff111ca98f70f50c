"""``stepzero fix`` in fresh interpreters."""

import subprocess
import sys

import pytest

from tests.cli.support import shell

FILE = """\
import torch
import torch.nn.functional as F
from torch import nn


def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    nn.init.constant_(net[2].weight, 0.1)
    target = torch.randint(3, (64,))
    return net, torch.randn(64, 8), lambda output: F.cross_entropy(output, target)
"""


@pytest.fixture
def here(tmp_path):
    (tmp_path / "mynet.py").write_text(FILE)
    return tmp_path


def test_without_a_place_the_plan_is_shown_and_nothing_is_written(here):
    done = shell("fix", "mynet.py:build", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert "before: SZ206 2.weight" in done.stdout
    assert "after: no error" in done.stdout
    assert (here / "mynet.py").read_text() == FILE
    assert not (here / "mynet_build_init.py").exists()


def test_diff_shows_the_edit_and_writes_nothing(here):
    done = shell("fix", "mynet.py:build", "--diff", cwd=here)
    assert "+    return init_(net), torch.randn(64, 8)" in done.stdout
    assert (here / "mynet.py").read_text() == FILE


def test_write_mends_the_factory(here):
    assert shell("check", "mynet.py:build", "--fail-on", "warning", cwd=here).returncode == 1
    assert shell("fix", "mynet.py:build", "--write", cwd=here).returncode == 0
    assert "return init_(net)" in (here / "mynet.py").read_text()
    assert shell("check", "mynet.py:build", "--fail-on", "warning", cwd=here).returncode == 0


def test_emit_writes_the_function(here):
    shell("fix", "mynet.py:build", "--emit", "start.py", cwd=here)
    assert "def init_(model)" in (here / "start.py").read_text()


def test_a_library_target_cannot_be_edited(here):
    done = shell("fix", "torchvision:resnet18", "--write", cwd=here)
    assert done.returncode == 2
    assert "edit a factory in a file" in done.stderr


def test_a_healthy_model_needs_nothing(here):
    (here / "mynet.py").write_text(FILE.replace("    nn.init.constant_(net[2].weight, 0.1)\n", ""))
    done = shell("fix", "mynet.py:build", cwd=here)
    assert done.returncode == 0
    assert "nothing written" in done.stdout


def test_a_file_that_somebody_else_wrote_is_not_overwritten(here):
    (here / "mynet_build_init.py").write_text("mine = 1\n")
    done = shell("fix", "mynet.py:build", "--write", cwd=here)
    assert done.returncode == 2
    assert "was not written by stepzero" in done.stderr
    assert (here / "mynet_build_init.py").read_text() == "mine = 1\n"
    assert shell("fix", "mynet.py:build", "--emit", "mynet.py", cwd=here).returncode == 2
    assert (here / "mynet.py").read_text() == FILE


def test_line_ends_are_kept(here):
    (here / "mynet.py").write_bytes(FILE.replace("\n", "\r\n").encode())
    assert shell("fix", "mynet.py:build", "--write", cwd=here).returncode == 0
    written = (here / "mynet.py").read_bytes()
    assert written.count(b"\r\n") == written.count(b"\n") > 10


@pytest.mark.parametrize("other", [["--write"], ["--emit", "start.py"]])
def test_showing_and_writing_at_once_is_refused(here, other):
    done = shell("fix", "mynet.py:build", "--diff", *other, cwd=here)
    assert done.returncode == 2
    assert done.stderr == (
        f"stepzero: fix: --diff shows the change and writes nothing, and {other[0]} writes; leave one of them out\n"
    )
    assert (here / "mynet.py").read_text() == FILE


def test_a_place_that_cannot_be_written_names_the_option_that_was_given(here):
    done = shell("fix", "mynet.py:build", "--emit", "gone/start.py", cwd=here)
    assert done.returncode == 2
    assert done.stderr.startswith("stepzero: --emit gone/start.py: the folder")


def test_a_factory_of_two_models_mends_the_one_it_was_seen_to_return(here):
    other = "    if __name__ == 'other':\n        return nn.Linear(8, 3), torch.randn(64, 8)\n    return net"
    (here / "mynet.py").write_text(FILE.replace("    return net", other))
    assert shell("fix", "mynet.py:build", "--write", cwd=here).returncode == 0
    assert "return init_(nn.Linear(8, 3)), torch" in (here / "mynet.py").read_text()
    assert shell("check", "mynet.py:build", "--fail-on", "warning", cwd=here).returncode == 0
    (here / "probe.py").write_text(
        "import warnings\nwarnings.simplefilter('error')\nimport mynet\nmynet.__name__ = 'other'\nmynet.build()\n"
    )
    done = subprocess.run([sys.executable, "probe.py"], cwd=here, capture_output=True, text=True, check=False)
    assert "init_ was made for another model" in done.stderr


def test_a_file_of_a_package_imports_from_its_package(here):
    (here / "pkg").mkdir()
    (here / "pkg" / "__init__.py").write_text("")
    (here / "pkg" / "mynet.py").write_text(FILE)
    assert shell("fix", "pkg/mynet.py:build", "--write", cwd=here).returncode == 0
    assert "from pkg.mynet_build_init import init_" in (here / "pkg" / "mynet.py").read_text()
    assert shell("check", "pkg.mynet:build", "--fail-on", "warning", cwd=here).returncode == 0


def test_a_model_that_raises_is_told_as_the_targets_failure(here):
    (here / "mynet.py").write_text(FILE.replace("nn.ReLU(), nn.Linear(32, 3)", "nn.ReLU(), nn.Linear(31, 3)"))
    for command in ("fix", "init"):
        done = shell(command, "mynet.py:build", cwd=here)
        assert done.returncode == 2
        assert "stepzero: mynet.py:build failed while it ran: RuntimeError" in done.stderr
        assert "bug" not in done.stderr


def test_a_check_that_was_not_complete_is_never_all_good(here):
    (here / "mynet.py").write_text("import torch\ndef build():\n    return torch.nn.ReLU(), torch.randn(4, 3)\n")
    done = shell("fix", "mynet.py:build", cwd=here)
    assert done.returncode == 3
    assert "the check was not complete" in done.stderr
    assert "it has no parameters" in done.stderr
