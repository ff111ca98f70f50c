"""Where things go and what the terminal can show."""

import io
import sys

import pytest

from stepzero.cli import output
from stepzero.core.errors import ConfigError
from tests.cli.support import shell


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def bare(monkeypatch):
    """No variable that speaks about terminals."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "RANK"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("is_terminal", "variables", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_color(bare, is_terminal, variables, expected):
    for name, value in variables.items():
        bare.setenv(name, value)
    bare.setattr(sys, "stdout", Terminal() if is_terminal else io.StringIO())
    assert output.is_color() is expected


def test_width_off_a_terminal_is_a_hundred_unless_told(bare):
    bare.setattr(sys, "stdout", io.StringIO())
    assert output.width() == 100
    bare.setenv("COLUMNS", "72")
    assert output.width() == 72


def test_rank(bare):
    assert output.is_first_rank()
    bare.setenv("RANK", "0")
    assert output.is_first_rank()
    bare.setenv("RANK", "3")
    assert not output.is_first_rank()


def test_what_children_and_c_print_goes_to_stderr(folder):
    code = (
        "import os\nfrom stepzero.cli import output\n"
        "with output.stdout_kept_clean():\n    print('python', flush=True)\n    os.system('echo child')\n"
        "    os.write(1, b'descriptor\\n')\n"
        "output.write('report\\n')"
    )
    done = shell(cwd=folder, code=code)
    assert done.stdout == "report\n"
    assert sorted(done.stderr.split()) == ["child", "descriptor", "python"]


def test_stdout_comes_back_after_an_exception():
    before = sys.stdout
    with pytest.raises(ValueError, match="x"), output.stdout_kept_clean():
        raise ValueError("x")
    assert sys.stdout is before


def test_files(folder):
    output.check_writable(folder / "new.txt")
    output.write_file(folder / "new.txt", "a→b")
    assert (folder / "new.txt").read_text(encoding="utf-8") == "a→b"
    with pytest.raises(ConfigError, match=r"-o .*gone/x: the folder .*gone does not exist; make it first"):
        output.check_writable(folder / "gone" / "x")
    with pytest.raises(ConfigError, match="Is a directory; nothing was written there"):
        output.write_file(folder / "app", "x")


def test_progress_is_one_line_that_is_cleared(bare):
    terminal = Terminal()
    bare.setattr(sys, "stderr", terminal)
    progress = output.Progress()
    progress("one forward")
    progress.clear()
    assert progress.stage == "one forward"
    assert terminal.getvalue() == ("\r\x1b[2Kone forward ...\r\x1b[2K")


def test_progress_is_silent_off_a_terminal_and_on_other_ranks(bare, capsys):
    progress = output.Progress()
    progress("x")
    progress.clear()
    assert capsys.readouterr().err == ""
    terminal = Terminal()
    bare.setattr(sys, "stderr", terminal)
    bare.setenv("RANK", "1")
    output.Progress()("x")
    assert terminal.getvalue() == ""
