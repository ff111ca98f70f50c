"""Check an example on several processes that have met: what rank 0 says."""

import contextlib
import functools
import multiprocessing
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch.distributed as dist

import stepzero

PATIENCE = 120
"""Seconds that a rank may take."""


@functools.lru_cache
def report(text: str, count: int, select: str | None = None) -> stepzero.Report:
    """The report of rank 0 on the ``build`` that the code ``text`` defines."""
    return stepzero.Report.from_json(reports(text, count, select)[0])


def reports(text: str, count: int, select: str | None = None, silent: frozenset[int] = frozenset()) -> list[str]:
    """Reports of all ranks as JSON; those in ``silent`` join the group and never check."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        ends, children = [], []
        for rank in range(count):
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(target=_rank, args=(sender, folder, text, rank, count, select, rank in silent))
            child.start()
            sender.close()
            ends.append(receiver)
            children.append(child)
        said = [end.recv() if end.poll(PATIENCE) else "" for end in ends]
        for child in children:
            child.join(PATIENCE)
            child.kill()
    return said


def _rank(
    sender: Connection, folder: str, text: str, rank: int, count: int, select: str | None, is_silent: bool
) -> None:
    store = dist.FileStore(str(Path(folder) / "store"), count)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(text, "example.py", "exec"), names)
    if is_silent:
        names["build"]()
        sender.send("")
    else:
        asked = {"select": [select]} if select else {}
        sender.send(stepzero.check(names["build"], **asked).to_json())
    sender.close()
    dist.destroy_process_group()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """A group of this process only."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()
