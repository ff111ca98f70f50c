"""One checker on all pairs, in a process of its own: a line of JSON for each pair at the end of a file.

    python -m benchmarks.peers.asking CHECKER FILE [--cases FOLDER] [--faults]

Each pair is asked about in a forked child, so that one that dies or hangs is a crash of that pair alone; the checker is
loaded before the first, so that no pair pays for it. A pair has so many seconds of processor time for all that is asked
about it. What the file knows already is not asked again.
"""

import argparse
import contextlib
import json
import multiprocessing
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.peers.checkers import CHECKERS, OverTimeError, Said, ask
from benchmarks.peers.pairs import Pair, of_faults, of_folder

LIMIT = 120.0
"""Processor seconds for a pair, its two starts together; the same for every checker."""
TIMEOUT = 600.0
"""Seconds on the wall, for a child that waits for what never comes."""
IN_PROCESS = ("torchlens",)
"""Refuse to run in a forked child."""


@dataclass
class Answer:
    """What one checker said of one pair."""

    source: str
    pair: str
    is_twin: bool
    is_detected: bool = False
    """Says something of the bad start that it does not say of the good one."""
    is_alarmed: bool = False
    """Says something of the good start, or anything new of a harmless twin."""
    new: list[str] = field(default_factory=list)
    """What it says of the bad start only, without places."""
    good: list[str] = field(default_factory=list)
    """What it says of the good start, without places."""
    crash: str = ""
    seconds: float = 0.0
    """Of processor time."""


def main(arguments: list[str] | None = None) -> int:
    """Ask about every pair."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    known = [json.loads(line) for line in options.file.read_text().splitlines()] if options.file.exists() else []
    told = {(each["source"], each["pair"]) for each in known}
    ask(options.checker, _any_start)
    for source, pair in _pairs(options):
        if (source, pair.name) not in told:
            ask_one = answer if options.checker in IN_PROCESS else _apart
            found = ask_one(options.checker, source, pair)
            with options.file.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
    return 0


def _any_start() -> tuple[nn.Module, Any, Any]:
    """For loading what a checker loads at its first use."""
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)), (torch.ones(8, 4),), lambda y: y.square().mean()


def _pairs(options: argparse.Namespace) -> Iterator[tuple[str, Pair]]:
    if options.cases:
        yield from (("cases", pair) for pair in of_folder(options.cases))
    if options.faults:
        yield from (("faults", pair) for pair in of_faults())


def _apart(checker: str, source: str, pair: Pair) -> Answer:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sender, checker, source, pair))
    child.start()
    sender.close()
    try:
        if receiver.poll(TIMEOUT):
            answer: Answer = receiver.recv()
            return answer
        return Answer(source, pair.name, pair.is_twin, crash=f"no answer within {TIMEOUT:.0f} s")
    except EOFError:
        child.join()
        return Answer(source, pair.name, pair.is_twin, crash=f"the process died with exit code {child.exitcode}")
    finally:
        child.kill()
        child.join()


def _child(sender: Connection, checker: str, source: str, pair: Pair) -> None:
    sender.send(answer(checker, source, pair))
    sender.close()


def answer(checker: str, source: str, pair: Pair) -> Answer:
    """Ask about both starts of a pair, here."""
    found, began = Answer(source, pair.name, pair.is_twin), time.process_time()
    try:
        with _limited(LIMIT):
            bad, good = ask(checker, pair.bad), ask(checker, pair.good)
    except OverTimeError as error:
        found.crash = str(error)
    else:
        _judge(found, bad, good)
    found.seconds = round(time.process_time() - began, 2)
    return found


def _judge(found: Answer, bad: Sequence[Said | str], good: Sequence[Said | str]) -> None:
    """A part has to answer for both starts before what it says of the bad one is new."""
    new, kept = set[tuple[str, str]](), set[tuple[str, str]]()
    for one, other in zip(bad, good, strict=True):
        if not isinstance(other, str):
            kept |= other
            new |= one - other if not isinstance(one, str) else set()
    found.is_detected = bool(new)
    found.is_alarmed = bool(new if found.is_twin else kept)
    found.new, found.good = (sorted({what for what, _ in said}) for said in (new, kept))
    found.crash = next((_plain(each) for each in (*bad, *good) if isinstance(each, str)), "")


def _plain(message: str) -> str:
    """On one line, not too long, without the folders of this machine."""
    return re.sub(r"/[\w./-]*/(?=[\w-]+\.\w)", "", " ".join(message.split()))[:200]


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Stops what uses more processor time than that; again every second, should it be caught."""

    def stop(_signal: int, _frame: object) -> None:
        raise OverTimeError(f"no answer within {seconds:.0f} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checker", choices=CHECKERS)
    parser.add_argument("file", type=Path, help="where the answers are kept")
    parser.add_argument("--cases", type=Path, help="folder with pairs of a real bug and its repair")
    parser.add_argument("--faults", action="store_true", help="planted faults as well")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
