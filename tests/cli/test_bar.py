import io
import sys

import pytest

from stepzero.cli import bar
from stepzero.lab.running import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, file, calls, words="networks", **env):
    monkeypatch.setattr(sys, "stderr", file)
    for name in ("NO_COLOR", "RANK", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": "80", **env}.items():
        monkeypatch.setenv(name, value)
    with bar.Bar(words) as mine:
        for done in calls:
            mine(Progress(done, 40, 0, done / 2 + 1))
    return file.getvalue()


def test_off_a_terminal_there_is_a_line_a_tenth(monkeypatch):
    lines = shown(monkeypatch, io.StringIO(), [1, 2, 4, 20, 21, 40]).splitlines()
    assert [line.split()[0] for line in lines] == ["1", "4", "20", "40"]
    assert lines[0] == "1 of 40 networks, 0.7 a second, 58 s left"


def test_a_second_grid_begins_anew(monkeypatch):
    assert len(shown(monkeypatch, io.StringIO(), [40, 4, 40]).splitlines()) == 3


def test_a_terminal_has_a_bar_with_rate_and_time_left_that_goes_away(monkeypatch):
    text = shown(monkeypatch, Terminal(), [20])
    for part in ("networks", "20/40", "1.8 a second", "11 s left", "\x1b[?25h"):
        assert part in text, part
    assert text.endswith(("\x1b[2K", "\x1b[?25h"))  # wiped, cursor back


@pytest.mark.parametrize("env", [{"TERM": "dumb"}])
def test_a_dumb_terminal_gets_lines(monkeypatch, env):
    assert shown(monkeypatch, Terminal(), [40], **env) == "40 of 40 networks, 1.9 a second, 0 s left\n"


def test_only_the_first_rank_speaks(monkeypatch):
    assert shown(monkeypatch, Terminal(), [40], RANK="1") == ""


def test_brackets_in_a_name_are_words(monkeypatch):
    assert "[red]x" in shown(monkeypatch, Terminal(), [20], words="[red]x")


def test_spans_have_two_units_at_most():
    assert [bar._span(x) for x in (9.4, 61, 3720)] == ["9 s", "1 min 1 s", "1 h 2 min"]
