"""The engine of one machine: a process a core, one thread each.

Processes are started afresh (never forked from a process that may hold threads) and end by themselves when the one
that started them is gone.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context

import torch

from stepzero.core.errors import IncompleteError
from stepzero.lab.grid import Network
from stepzero.lab.train import Outcome, train

_WATCH = 1.0
"""Seconds between two looks whether the parent is still there."""


def run(batches: Iterable[Sequence[Network]], *, workers: int) -> Iterator[list[Outcome]]:
    """Outcomes batch by batch, as they come; without workers everything runs here, on the caller's threads."""
    if workers < 1:
        yield from map(train, batches)
        return
    rest = iter(batches)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
    ) as pool:
        waiting: set[Future[list[Outcome]]] = {pool.submit(train, batch) for batch in islice(rest, 2 * workers)}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for each in done:
                    yield _result(each)
                waiting |= {pool.submit(train, batch) for batch in islice(rest, len(done))}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _result(future: Future[list[Outcome]]) -> list[Outcome]:
    try:
        return future.result()
    except BrokenProcessPool as problem:
        raise IncompleteError(
            "a process of the lab was killed; what was finished is stored, 'stepzero lab resume' trains the rest"
        ) from problem


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(parent: int) -> None:
    """One thread, and an end when the parent is killed: the queue alone would never tell."""
    torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
