import importlib.util
import sys

import pytest

from stepzero.core.errors import ConfigError
from stepzero.lab import local, ray
from stepzero.lab.grid import Grid
from stepzero.lab.running import batches

GRID = Grid(weights=("lecun", "he"), depths=(1, 2), seeds=3, steps=10)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"stepzero\[ray\]"):
        list(ray.run([], workers=1))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra")
def test_the_bits_are_those_of_the_local_engine():
    here, there = (
        {each.network.key: each for part in engine(batches(GRID.networks()), workers=workers) for each in part}
        for engine, workers in ((local.run, 0), (ray.run, 2))
    )
    assert here == there


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra")
def test_a_worker_that_is_killed_is_replaced_and_the_bits_stay(tmp_path, monkeypatch):
    marker, real = tmp_path / "killed", ray._alone

    def killed_once(batch):
        import os
        import signal

        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(batch)

    monkeypatch.setattr(ray, "_alone", killed_once)
    there = {each.network.key: each for part in ray.run(batches(GRID.networks()), workers=2) for each in part}
    assert marker.exists()
    assert there == {each.network.key: each for part in local.run(batches(GRID.networks()), workers=0) for each in part}
