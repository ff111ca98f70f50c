"""One SQLite file with every network ever trained, and which run asked for it.

A network is known by its key, so none is trained twice, in whatever run it stands. Each batch is one transaction: what
is killed loses the batch in flight and nothing else.
"""

import datetime
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepzero.core.errors import ConfigError
from stepzero.lab import places
from stepzero.lab.grid import Grid, Network

if TYPE_CHECKING:
    from stepzero.lab.train import Outcome

AXES = tuple(name for name in Network.__dataclass_fields__ if name != "measure")
"""Columns that say what a network was."""
_SCHEMA = f"""
create table if not exists runs (
    id integer primary key, name text not null, grid text not null, engine text not null, created text not null,
    total integer not null
);
create table if not exists members (
    run integer not null, place integer not null, key text not null, primary key (run, place)
) without rowid;
create table if not exists networks (
    key text primary key, {", ".join(AXES)}, loss real, accuracy real, stopped integer
) without rowid;
create table if not exists points (
    key text not null, step integer not null, loss real, accuracy real, primary key (key, step)
) without rowid;
create table if not exists layers (
    key text not null, step integer not null, place integer not null, layer text not null, units integer not null,
    effective_width integer not null, saturated real, dead real, weight real, gradient real,
    primary key (key, step, place)
) without rowid;
"""


@dataclass(frozen=True)
class Run:
    """One request: how many networks it wants and how many are there."""

    id: int
    name: str
    engine: str
    created: str
    total: int
    done: int


class Store:
    """The file; made on first use."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or places.data() / "lab.sqlite"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
        try:
            self._file.executescript(_SCHEMA)
        except sqlite3.DatabaseError as problem:
            raise ConfigError(f"{self.path} is no store of the lab: {problem}") from problem

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._file.execute("begin immediate")
        try:
            yield self._file
        except BaseException:
            self._file.execute("rollback")
            raise
        self._file.execute("commit")

    def begin(self, grid: Grid, networks: Sequence[Network], engine: str) -> int:
        """Note a run and what it wants; returns its number."""
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        with self._transaction() as file:
            row = (grid.name, grid.to_json(), engine, created, len(networks))
            run = file.execute(
                "insert into runs (name, grid, engine, created, total) values (?, ?, ?, ?, ?)", row
            ).lastrowid
            assert run is not None
            file.executemany(
                "insert into members values (?, ?, ?)", ((run, place, each.key) for place, each in enumerate(networks))
            )
        return run

    def add(self, outcomes: "Iterable[Outcome]") -> None:
        """Commit what became of a batch; what is there already stays."""
        with self._transaction() as file:
            for each in outcomes:
                self._add(file, each)

    def _add(self, file: sqlite3.Connection, outcome: "Outcome") -> None:
        key, last = outcome.network.key, outcome.points[-1]
        values = asdict(outcome.network)
        row = [key, *(values[name] for name in AXES), last.loss, last.accuracy, outcome.stopped]
        added = file.execute(f"insert or ignore into networks values ({_marks(len(row))})", row)
        if not added.rowcount:
            return
        for point in outcome.points:
            file.execute("insert into points values (?, ?, ?, ?)", (key, point.step, point.loss, point.accuracy))
            for place, seen in enumerate(point.layers):
                row = [key, point.step, place, *asdict(seen).values()]
                file.execute(f"insert into layers values ({_marks(len(row))})", row)

    def known(self, run: int) -> set[str]:
        """Keys of a run's networks that are trained."""
        found = self._file.execute("select key from members join networks using (key) where run = ?", (run,))
        return {key for (key,) in found}

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        found = self._file.execute(
            "select id, name, engine, created, total, (select count(*) from members join networks using (key)"
            " where run = id) from runs order by id"
        )
        return [Run(*row) for row in found]

    def grid(self, number: int) -> Grid:
        """What a run asked for; reading it needs torch."""
        (text,) = self._file.execute("select grid from runs where id = ?", (number,)).fetchone()
        return Grid.parse(text)

    def run(self, number: int) -> Run:
        """A run.

        Raises:
            ValueError: there is none of that number.
        """
        runs = {each.id: each for each in self.runs()}
        if number not in runs:
            known = ", ".join(map(str, runs)) or "none yet"
            raise ConfigError(f"no run has the number {number}; there are: {known}")
        return runs[number]

    def networks(self, run: int) -> list[dict[str, Any]]:
        """One mapping a trained network of a run, in the order the run asked for them."""
        return self._rows("select networks.* from members join networks using (key) where run = ? order by place", run)

    def points(self, run: int) -> list[dict[str, Any]]:
        """Loss and accuracy of a run's networks at each observed step."""
        return self._rows(
            "select points.* from members join points using (key) where run = ? order by members.place, step", run
        )

    def layers(self, run: int) -> list[dict[str, Any]]:
        """One mapping a network, step and layer."""
        return self._rows(
            "select layers.* from members join layers using (key) where run = ?"
            " order by members.place, step, layers.place",
            run,
        )

    def _rows(self, query: str, run: int) -> list[dict[str, Any]]:
        cursor = self._file.execute(query, (run,))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _marks(count: int) -> str:
    return ", ".join("?" * count)
