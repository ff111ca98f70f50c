"""One checker on all pairs, in a process of its own: a line of JSON for each pair at the end of a file.

    python -m benchmarks.peers.asking CHECKER FILE [--cases FOLDER] [--faults]

Each pair is asked about in a forked child, so that one that dies or hangs is a crash of that pair alone. What the file
knows already is not asked again.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from benchmarks.peers.checkers import CHECKERS, ask
from benchmarks.peers.pairs import NoPlaceError, Pair, of_faults, of_folder

TIMEOUT = 300.0
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
    crash: str = ""
    seconds: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Ask about every pair."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    known = [json.loads(line) for line in options.file.read_text().splitlines()] if options.file.exists() else []
    told = {(each["source"], each["pair"]) for each in known}
    for source, pairs in _groups(options):
        if any((source, pair.name) in told for pair in pairs):
            continue
        for pair in pairs:
            ask_one = answer if options.checker in IN_PROCESS else _apart
            found = ask_one(options.checker, source, pair)
            if not found.crash.startswith(NoPlaceError.__name__):
                with options.file.open("a") as file:
                    file.write(json.dumps(asdict(found)) + "\n")
                break
    return 0


def _groups(options: argparse.Namespace) -> Iterator[tuple[str, tuple[Pair, ...]]]:
    """Of each group the first pair that exists is asked about."""
    if options.cases:
        yield from (("cases", (pair,)) for pair in of_folder(options.cases))
    if options.faults:
        yield from (("faults", pairs) for pairs in of_faults())


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
    found, began = Answer(source, pair.name, pair.is_twin), time.perf_counter()
    try:
        bad, good = ask(checker, pair.bad), ask(checker, pair.good)
        found.is_detected = bool(bad - good)
        found.is_alarmed = bool(bad - good) if pair.is_twin else bool(good)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
        found.crash = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    found.seconds = round(time.perf_counter() - began, 2)
    return found


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checker", choices=CHECKERS)
    parser.add_argument("file", type=Path, help="where the answers are kept")
    parser.add_argument("--cases", type=Path, help="folder with pairs of a real bug and its repair")
    parser.add_argument("--faults", action="store_true", help="planted faults as well")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
