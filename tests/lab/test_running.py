import subprocess
import sys

import pytest

from stepzero import lab
from stepzero.core.errors import ConfigError
from stepzero.lab import running
from stepzero.lab.grid import Grid

GRID = Grid(weights=("zero", "lecun"), depths=(1, 2), seeds=3, steps=5)


def test_a_run_trains_what_it_was_asked_for_and_says_how_far_it_is(tmp_path):
    seen = []
    result = lab.run(GRID, store=tmp_path / "a", workers=0, progress=seen.append)
    assert len(result.networks()) == 8
    assert [(each.done, each.wanted) for each in seen] == [(4, 8), (8, 8)]
    assert seen[-1].left == 0
    assert len(result.points()) == 16
    assert len(result.layers()) == 2 * (4 * 2 + 4 * 3)


def test_nothing_is_trained_twice(tmp_path, monkeypatch):
    lab.run(GRID, store=tmp_path / "a", workers=0)
    trained = []
    real = running.ENGINES["local"]

    def counted(batches, *, workers):
        listed = list(batches)
        trained.extend(each for batch in listed for each in batch)
        return real(listed, workers=workers)

    monkeypatch.setitem(running.ENGINES, "local", counted)
    wider = Grid(**{**GRID.to_mapping(), "seeds": 4})
    assert len(lab.run(wider, store=tmp_path / "a", workers=0).networks()) == 10
    assert {each.seed for each in trained} == {3}


def test_what_was_broken_off_is_resumed(tmp_path):
    class Stop(Exception):
        pass

    def stop(_):
        raise Stop

    with pytest.raises(Stop):
        lab.run(GRID, store=tmp_path / "a", workers=0, progress=stop)
    assert len(running.Result(1, tmp_path / "a").networks()) == 4
    seen = []
    resumed = lab.resume(1, store=tmp_path / "a", workers=0, progress=seen.append)
    assert (seen[-1].wanted, seen[-1].known) == (4, 4)
    whole = lab.run(GRID, store=tmp_path / "b", workers=0)
    assert resumed.networks() == whole.networks()
    assert resumed.layers() == whole.layers()


def test_batches_keep_company_and_have_a_bound(monkeypatch):
    monkeypatch.setattr(running, "FLEET", 3)
    found = [list(batch) for batch in running.batches(GRID.networks())]
    assert [len(batch) for batch in found] == [3, 1, 3, 1]
    assert all(len({each.company for each in batch}) == 1 for batch in found)


def test_an_unknown_engine_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'locl'.*did you mean 'local'"):
        lab.run(GRID, engine="locl", store=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_what_is_stored_is_shown_without_torch(tmp_path):
    lab.run(GRID, store=tmp_path / "a", workers=0)
    code = (
        "import sys; from stepzero.cli import main\n"
        f"assert main(['lab', 'show', '1', '--store', {str(tmp_path / 'a')!r}], standalone_mode=False) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_name_the_lab_lacks_is_told_with_those_it_has():
    with pytest.raises(AttributeError, match="no attribute 'rnu'; it has: Grid"):
        _ = lab.rnu
