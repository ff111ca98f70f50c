import sqlite3

import pytest

from stepzero.core.errors import ConfigError
from stepzero.lab.grid import Grid
from stepzero.lab.store import Store
from stepzero.lab.train import train

GRID = Grid(weights=("zero", "lecun"), seeds=2, steps=3, name="mine")


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "deep" / "lab.sqlite")
    yield opened
    opened.close()


def test_what_is_stored_comes_back(store):
    networks = list(GRID.networks())
    run = store.begin(GRID, networks, "local")
    outcomes = [*train(networks[:1]), *train(networks[1:])]
    store.add(outcomes)
    rows = store.networks(run)
    assert [row["key"] for row in rows] == [each.key for each in networks]
    assert [row["loss"] for row in rows] == [each.points[-1].loss for each in outcomes]
    assert [row["loss"] for row in store.points(run)] == [point.loss for each in outcomes for point in each.points]
    widths = [seen.effective_width for each in outcomes for point in each.points for seen in point.layers]
    assert [row["effective_width"] for row in store.layers(run)] == widths
    assert store.grid(run) == GRID
    assert [(each.name, each.total, each.done) for each in store.runs()] == [("mine", 3, 3)]


def test_a_network_is_stored_once_whoever_asks(store):
    networks = list(GRID.networks())
    first, second = (store.begin(GRID, networks, "local") for _ in range(2))
    for _ in range(2):
        store.add(train(networks))
    assert len(store.networks(first)) == len(store.networks(second)) == 3
    assert store.known(second) == {each.key for each in networks}


def test_a_batch_is_stored_whole_or_not_at_all(store):
    networks = list(GRID.networks())
    run = store.begin(GRID, networks, "local")

    def broken():
        yield from train(networks[:2])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add(broken())
    assert store.networks(run) == []
    store.add(train(networks))
    assert len(store.networks(run)) == 3


def test_an_unknown_run_says_which_there_are(store):
    with pytest.raises(ConfigError, match="no run has the number 7; there are: none yet"):
        store.run(7)


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, this is not a database at all.\n" * 50)
    with pytest.raises(ConfigError, match=r"letter\.txt is no store"):
        Store(path)
    assert path.read_text().startswith("Dear reader")


def test_not_a_number_is_kept_as_nothing(store):
    grid = Grid(tasks="teacher", activations="relu", lrs=1e6, steps=20)
    run = store.begin(grid, list(grid.networks()), "local")
    store.add(train(list(grid.networks())))
    (row,) = store.networks(run)
    assert row["stopped"] is not None
    assert isinstance(store._file, sqlite3.Connection)
