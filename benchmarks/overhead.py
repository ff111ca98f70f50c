"""What looking costs: time and peak memory against one plain forward and backward pass, one thread.

    python -m benchmarks.overhead             three models, 9 pairs, memory, TorchLens for comparison
    python -m benchmarks.overhead --short     3 pairs, no memory, no comparison
    python -m benchmarks.overhead mlp         only some models

The bars: a capture takes at most 1.25 times the time and 1.15 times the peak memory of the plain step; a whole check
of a healthy model at most 3 plain steps, and 6 with the symmetry probe. Exit 1 when stepzero is above one of them.
Judged is the median over pairs of the ratio of processor times: one thread computes, so on an idle machine that is
the ratio of wall times, and on a shared one it does not count the time that others were running.
Writes ``benchmarks/results/overhead.json`` after a full run. Every measurement is a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.cost.memory import measure
from benchmarks.cost.observers import OBSERVERS, is_installed
from benchmarks.cost.subjects import SUBJECTS
from benchmarks.cost.timing import paired, summary

RESULTS = Path(__file__).parent / "results" / "overhead.json"
TIME_BARS = {"stepzero": 1.25, "stepzero-check": 3.0, "stepzero-symmetry": 6.0}
MEMORY_BAR = 1.15
MEMORY_RUNS = 3
NOT_RUN = "not run"
_WEIGHED = frozenset(["stepzero", "torchlens", "torchlens-lean"])
"""Observers of one step, whose memory is compared with it; a whole check judges, and holds a report besides."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parse(arguments)
    if options.one:
        print(json.dumps(_one(*options.one, repeats=options.repeats)))
        return 0
    torch.set_num_threads(1)
    observers = list(TIME_BARS) if options.short else [name for name in OBSERVERS if name != "plain"]
    repeats = 3 if options.short else options.repeats
    subjects = options.subjects or list(SUBJECTS)
    results = {name: _subject(name, observers, repeats, with_memory=not options.short) for name in subjects}
    _print(results)
    if not options.short and not options.subjects:
        document = {"machine": machine.describe(), "bars": {"time": TIME_BARS, "memory": MEMORY_BAR}, "models": results}
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(_is_within(row[name], name) for row in results.values() for name in TIME_BARS) else 1


def _subject(subject: str, observers: list[str], repeats: int, *, with_memory: bool) -> dict[str, Any]:
    """Every observer on one model: paired times, then peak memory over that of the plain step."""
    base = _memory(subject, "plain") if with_memory else {}
    row: dict[str, Any] = {"plain": {"memory": base}} if base else {}
    for observer in observers:
        if not is_installed(observer):
            row[observer] = NOT_RUN
            continue
        row[observer] = {"time": _apart("time", subject, observer, repeats)}
        if with_memory and observer in _WEIGHED:
            seen = _memory(subject, observer)
            row[observer]["memory"] = seen
            row[observer]["memory_ratio"] = {key: seen[key] / base[key] for key in base}
    return row


def _memory(subject: str, observer: str) -> dict[str, float]:
    runs = [_apart("memory", subject, observer, 1) for _ in range(MEMORY_RUNS)]
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def _apart(what: str, subject: str, observer: str, repeats: int) -> dict[str, Any]:
    """Measure in a fresh process: no observer leaves its imports, wrappers or heap to the next."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.overhead", "--repeats", str(repeats)]
    done = subprocess.run([*command, "--one", what, subject, observer], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{what} of {observer} on {subject} failed:\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _one(what: str, subject: str, observer: str, *, repeats: int) -> dict[str, Any]:
    """The inside of one such process."""
    if what == "memory":
        return measure(subject, observer)
    torch.set_num_threads(1)
    built = SUBJECTS[subject]()
    return summary(paired(OBSERVERS["plain"](built), OBSERVERS[observer](built), repeats=repeats))


def _is_within(row: Any, observer: str) -> bool:
    if row == NOT_RUN:
        return True
    ratios = row.get("memory_ratio", {})
    return row["time"]["cpu_ratio_of_pairs"] <= TIME_BARS[observer] and all(
        ratio <= MEMORY_BAR for ratio in ratios.values()
    )


def _print(results: dict[str, dict[str, Any]]) -> None:
    columns = ("plain ms", "ms", "cpu", "cpu min", "wall", "wall min", "step mem", "tensors", "process")
    print(f"{'model':<10}{'observer':<20}" + "".join(f"{column:>10}" for column in columns))
    for subject, row in results.items():
        for observer, cell in row.items():
            if observer == "plain":
                continue
            print(f"{subject:<10}{observer:<20}" + (f"{NOT_RUN:>10}" if cell == NOT_RUN else _line(cell)))
    bars = ", ".join(f"{name} {bar:g}" for name, bar in TIME_BARS.items())
    print(f"ratios to the plain step; bars: time {bars}; memory {MEMORY_BAR}")


def _line(cell: dict[str, Any]) -> str:
    time, ratio = cell["time"], cell.get("memory_ratio", {})
    milliseconds = "".join(f"{1e3 * time[key]:>10.1f}" for key in ("plain_seconds", "observed_seconds"))
    keys = ("cpu_ratio_of_pairs", "cpu_ratio_of_minima", "wall_ratio_of_pairs", "wall_ratio_of_minima")
    memory = "".join(f"{ratio[key]:>10.2f}" for key in ("step_mib", "tensor_mib", "process_mib") if key in ratio)
    return milliseconds + "".join(f"{time[key]:>10.2f}" for key in keys) + memory


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", help=f"of {', '.join(SUBJECTS)}; all when none is named")
    parser.add_argument("--short", action="store_true", help="3 pairs, no memory, no comparison")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "SUBJECT", "OBSERVER"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
