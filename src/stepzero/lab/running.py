"""Carries out a grid: trains what the store does not hold yet and commits batch by batch."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.lab import local, ray
from stepzero.lab.grid import Grid, Network
from stepzero.lab.store import Store
from stepzero.lab.train import Outcome

FLEET = 64
"""Networks of a batch: what is lost when a run is killed."""
_SHARES = 4
"""Batches a worker, where there are so many networks: of a few unequal ones the last would keep the others waiting."""
ENGINES: dict[str, Callable[..., Iterator[list[Outcome]]]] = {"local": local.run, "ray": ray.run}


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: int
    """Networks trained by this call."""
    wanted: int
    """Networks this call has to train."""
    known: int
    """Networks that were there before."""
    seconds: float

    @property
    def rate(self) -> float:
        """Networks a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds left at this rate; None before the first batch."""
        return (self.wanted - self.done) / self.rate if self.done else None


@dataclass(frozen=True)
class Result:
    """A run in its store."""

    run: int
    path: Path

    def networks(self) -> list[dict[str, Any]]:
        """One mapping a network: its axes, final loss and accuracy."""
        return self._read("networks")

    def points(self) -> list[dict[str, Any]]:
        """Loss and accuracy at each observed step."""
        return self._read("points")

    def layers(self) -> list[dict[str, Any]]:
        """The measures of each layer at each observed step."""
        return self._read("layers")

    def _read(self, what: str) -> list[dict[str, Any]]:
        store = Store(self.path)
        try:
            rows: list[dict[str, Any]] = getattr(store, what)(self.run)
        finally:
            store.close()
        return rows


def run(
    grid: Grid, *, engine: str = "local", store: Path | None = None, workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Result:  # fmt: skip
    """Train every network of ``grid`` that the store does not hold, and return where all of them are.

    Args:
        grid: What to try.
        engine: ``local`` (a process a core) or ``ray`` (needs the extra; on the cluster that ``RAY_ADDRESS`` names).
        store: The file; by default ``lab.sqlite`` in the user's data directory.
        workers: Processes of the local engine; by default one a core.
        progress: Called after each committed batch.
    """
    _check(engine)
    opened = Store(store)
    try:
        number = opened.begin(grid, list(grid.networks()), engine)
        return _carried_out(opened, number, grid, engine, workers, progress)
    finally:
        opened.close()


def resume(
    number: int, *, engine: str | None = None, store: Path | None = None, workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Result:  # fmt: skip
    """Train what run ``number`` still lacks."""
    opened = Store(store)
    try:
        before, grid = opened.run(number), opened.grid(number)
        _check(engine or before.engine)
        return _carried_out(opened, number, grid, engine or before.engine, workers, progress)
    finally:
        opened.close()


def _check(engine: str) -> None:
    if engine not in ENGINES:
        raise ConfigError(f"no engine is called {engine!r}{did_you_mean(engine, ENGINES)}; known: {', '.join(ENGINES)}")


def _carried_out(
    store: Store, number: int, grid: Grid, engine: str, workers: int | None,
    progress: Callable[[Progress], None] | None,
) -> Result:  # fmt: skip
    known = store.known(number)
    wanted = [each for each in grid.networks() if each.key not in known]
    begun, done = time.monotonic(), 0
    most = local.cores() if workers is None else workers
    share = -(-len(wanted) // (_SHARES * most)) if most > 1 else FLEET
    parts = list(batches(wanted, min(FLEET, share)))
    for outcomes in ENGINES[engine](parts, workers=min(most, len(parts))):
        store.add(outcomes)
        done += len(outcomes)
        if progress is not None:
            progress(Progress(done, len(wanted), len(known), time.monotonic() - begun))
    return Result(number, store.path)


def batches(networks: Iterable[Network], most: int | None = None) -> Iterator[Sequence[Network]]:
    """Networks of one company, at most so many at a time (by default `FLEET`): no result depends on it."""
    for _, members in itertools.groupby(networks, key=lambda each: each.company):
        while part := list(itertools.islice(members, FLEET if most is None else most)):
            yield part
