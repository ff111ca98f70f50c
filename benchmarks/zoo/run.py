"""Check every model of the zoo; exit 1 on any crash, change, incomplete report or error-level finding.

    python -m benchmarks.zoo.run                all entries
    python -m benchmarks.zoo.run --short        the cheap ones
    python -m benchmarks.zoo.run gpt2 swin      entries whose name contains a word

Each entry runs in a forked child with its own seed, so that one cannot disturb the next. Results go to
``benchmarks/results/zoo.json`` when all entries ran, elsewhere with ``--output``.
"""

import argparse
import dataclasses
import gc
import json
import multiprocessing
import sys
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.zoo.builders import entries, select, short
from benchmarks.zoo.entry import Entry
from benchmarks.zoo.judge import Verdict, judge
from benchmarks.zoo.schemas import define_torchvision_schemas

RESULTS = Path(__file__).parents[1] / "results" / "zoo.json"
TIMEOUT = 300.0
COLUMNS = f"{'params':>12} {'checked':>9} {'err':>4}{'warn':>5}{'note':>5} {'check s':>8}{'step s':>8}{'ratio':>7}"
HEAD = f"{'model':<42}{COLUMNS}  result"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parse(arguments)
    chosen = select(options.names) if options.names else short() if options.short else list(entries().values())
    torch.set_num_threads(1)
    _warm_up()
    print(HEAD)
    verdicts = [_show(judge_apart(entry, seed=options.seed)) for entry in chosen]
    _summary(verdicts)
    output = options.output or (RESULTS if not options.names and not options.short else None)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(_document(verdicts, options.seed), indent=1) + "\n")
    return 0 if all(verdict.is_ok for verdict in verdicts) else 1


def judge_apart(entry: Entry, *, seed: int = 0) -> Verdict:
    """Judge ``entry`` in a forked child; a child that dies or hangs is a crash of that entry alone."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sender, entry.key, seed))
    child.start()
    sender.close()
    try:
        if receiver.poll(TIMEOUT):
            verdict: Verdict = receiver.recv()
            return verdict
        return Verdict(entry.key, entry.family, crash=f"no answer within {TIMEOUT:.0f} s")
    except EOFError:
        child.join()
        return Verdict(entry.key, entry.family, crash=f"the process died with exit code {child.exitcode}")
    finally:
        child.kill()
        child.join()


def _child(sender: Connection, key: str, seed: int) -> None:
    warnings.simplefilter("ignore")
    sender.send(judge(entries()[key], seed=seed))
    sender.close()


def _warm_up() -> None:
    """Import the heavy libraries once, before forking."""
    define_torchvision_schemas()
    import timm
    import torchvision
    import transformers

    transformers.logging.set_verbosity_error()
    for library in (timm, torchvision, transformers.GPT2LMHeadModel):
        assert library
    gc.freeze()  # or a collection in a child walks, and so copies, all that was imported here


def _show(verdict: Verdict) -> Verdict:
    counts = "".join(
        f"{verdict.count(severity):>{width}}" for severity, width in (("error", 4), ("warning", 5), ("info", 5))
    )
    times = f"{verdict.check_seconds:>8.2f}{verdict.step_seconds:>8.3f}{verdict.ratio:>7.1f}"
    print(
        f"{verdict.key:<42}{verdict.parameters:>12,} {verdict.weighted:>9} {counts} {times}  {_result(verdict)}",
        flush=True,
    )
    return verdict


def _result(verdict: Verdict) -> str:
    if verdict.crash:
        return f"CRASH {verdict.crash.splitlines()[0][:150]}"
    words = []
    if verdict.changed:
        words.append(f"CHANGED {len(verdict.changed)}: {verdict.changed[0]}")
    if verdict.wrong:
        words.append(f"WRONG {len(verdict.wrong)}: {verdict.wrong[0]}")
    if verdict.incomplete:
        words.append(f"INCOMPLETE {verdict.incomplete[0][:80]}")
    if not verdict.is_repeatable:
        words.append("DIFFERS from one check to the next")
    codes = Counter(said.code for said in verdict.findings if said.severity != "info")
    return "; ".join([*words, *(f"{code} x{count}" for code, count in sorted(codes.items()))]) or "ok"


def _summary(verdicts: list[Verdict]) -> None:
    bad = [verdict for verdict in verdicts if not verdict.is_ok]
    ratios = sorted(verdict.ratio for verdict in verdicts if verdict.ratio)
    middle = ratios[len(ratios) // 2] if ratios else 0.0
    crashes = sum(bool(verdict.crash) for verdict in verdicts)
    changed = sum(bool(verdict.changed) for verdict in verdicts)
    wrong = sum(bool(verdict.wrong) for verdict in verdicts)
    alarms = sum(bool(verdict.false_alarms) for verdict in verdicts)
    counts = f"{crashes} crashed, {changed} changed, {wrong} wrong, {alarms} with errors"
    print(f"\n{len(verdicts)} models, {len(bad)} bad: {counts}; median check/step ratio {middle:.1f}")
    for verdict in bad:
        for said in verdict.false_alarms[:3]:
            print(f"  {verdict.key}: {said.code} {', '.join(said.where)}: {said.message}")
    for verdict in verdicts:
        if verdict.accepted:
            print(
                f"  {verdict.key}: accepted {', '.join(f'{idiom.name} x {idiom.count}' for idiom in verdict.accepted)}"
            )


def _document(verdicts: list[Verdict], seed: int) -> dict[str, Any]:
    rows = [
        {**dataclasses.asdict(verdict), "ratio": round(verdict.ratio, 2), "ok": verdict.is_ok} for verdict in verdicts
    ]
    return {"machine": machine.describe(), "seed": seed, "models": rows}


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="words that the names of the entries contain")
    parser.add_argument("--short", action="store_true", help="only the cheap entries")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="where the JSON goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
