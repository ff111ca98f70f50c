"""Check every model of the zoo; exit 1 on any crash, change, incomplete report or error-level finding.

    python -m benchmarks.zoo.run                all entries, the cheapest first
    python -m benchmarks.zoo.run --short        the cheap ones
    python -m benchmarks.zoo.run gpt2 swin      entries whose name contains a word
    python -m benchmarks.zoo.run --part 2/4     every fourth entry, from the second on
    python -m benchmarks.zoo.run --resume       what an earlier run did not come to

Each entry runs in a forked child with its own seed, so that one cannot disturb the next. Each verdict is appended to
``benchmarks/.kept/zoo.jsonl`` at once; ``--resume`` reads it first. The table goes to ``benchmarks/results/zoo.json``
when all entries were asked for, elsewhere with ``--output``.
"""

import argparse
import multiprocessing
import resource
import signal
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import nn

from benchmarks.zoo import results
from benchmarks.zoo.builders import entries, select, short
from benchmarks.zoo.entry import Entry
from benchmarks.zoo.judge import Verdict, judge
from benchmarks.zoo.warm import warm_up

RESULTS = Path(__file__).parents[1] / "results" / "zoo.json"
LINES = Path(__file__).parents[1] / ".kept" / "zoo.jsonl"
TIMEOUT = 300.0
"""Processor seconds a model."""
PATIENCE = 20
"""Seconds of the clock for each of them: on a busy machine, or when the process is stopped for a while."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parse(arguments)
    chosen = _chosen(options)
    torch.set_num_threads(1)
    known = {
        key: verdict for key, verdict in results.read(options.lines).items() if options.resume and not verdict.late
    }
    if not options.resume:
        options.lines.unlink(missing_ok=True)
    _warm_up()
    print(results.HEAD)
    verdicts = [_verdict(entry, known, options) for entry in chosen]
    print(results.summary(verdicts))
    output = options.output or (RESULTS if not (options.names or options.short or options.part) else None)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(results.document(verdicts, options.seed))
    return 0 if all(verdict.is_ok for verdict in verdicts) else 1


def _chosen(options: argparse.Namespace) -> list[Entry]:
    chosen = select(options.names) if options.names else short() if options.short else list(entries().values())
    first, step = (int(each) for each in options.part.split("/")) if options.part else (1, 1)
    return sorted(chosen, key=lambda entry: entry.seconds)[first - 1 :: step]


def _verdict(entry: Entry, known: dict[str, Verdict], options: argparse.Namespace) -> Verdict:
    verdict = known.get(entry.key)
    if verdict is None:
        verdict = judge_apart(entry, seed=options.seed, timeout=options.timeout)
        results.append(options.lines, verdict)
    print(results.line(verdict), flush=True)
    return verdict


def judge_apart(entry: Entry, *, seed: int = 0, timeout: float = TIMEOUT) -> Verdict:
    """Judge ``entry`` in a forked child; a child that dies or hangs is a crash of that entry alone."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sender, entry.key, seed, round(timeout)))
    child.start()
    sender.close()
    try:
        if receiver.poll(timeout * PATIENCE):
            verdict: Verdict = receiver.recv()
            return verdict
        return Verdict(entry.key, entry.family, late=f"no answer within {timeout * PATIENCE:.0f} s")
    except EOFError:
        child.join()
        if child.exitcode == -signal.SIGXCPU:
            return Verdict(entry.key, entry.family, late=f"no answer within {timeout:.0f} processor seconds")
        return Verdict(entry.key, entry.family, crash=f"the process died with exit code {child.exitcode}")
    finally:
        child.kill()
        child.join()


def _child(sender: Connection, key: str, seed: int, limit: int) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    sender.send(judge(entries()[key], seed=seed))
    sender.close()


def _warm_up() -> None:
    """Import everything once, before forking; the first check pays imports of its own."""
    from stepzero.api import check

    warm_up()
    check(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.ones(8, 4), lambda out: out.square().mean())


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="words that the names of the entries contain")
    parser.add_argument("--short", action="store_true", help="only the cheap entries")
    parser.add_argument("--part", metavar="K/N", help="every Nth entry, from the Kth on")
    parser.add_argument("--resume", action="store_true", help="keep the verdicts of an earlier run")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, help="processor seconds a model (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=Path, default=LINES, help="where verdicts are appended")
    parser.add_argument("--output", type=Path, help="where the table goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
