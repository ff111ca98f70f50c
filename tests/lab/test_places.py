from pathlib import Path

import pytest

from stepzero.lab import places

CASES = [(places.data, "STEPZERO_DATA", "XDG_DATA_HOME"), (places.cache, "STEPZERO_CACHE", "XDG_CACHE_HOME")]


@pytest.mark.parametrize(("place", "own", "standard"), CASES)
def test_the_own_variable_wins_over_the_standard_one(monkeypatch, tmp_path, place, own, standard):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv(standard, str(tmp_path / "xdg"))
    monkeypatch.delenv(own, raising=False)
    assert place() == tmp_path / "xdg" / "stepzero"
    monkeypatch.setenv(own, str(tmp_path / "mine"))
    assert place() == tmp_path / "mine"


@pytest.mark.parametrize(("platform", "part"), [("linux", ".local/share"), ("darwin", "Library"), ("win32", "AppData")])
def test_each_system_has_its_habit(monkeypatch, platform, part):
    monkeypatch.setattr("sys.platform", platform)
    for name in ("STEPZERO_DATA", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert part in places.data().as_posix()
    assert places.data().is_relative_to(Path.home())
