"""Starts beside each other: loss after 200 steps over a grid of learning rates, and how often training diverges.

    python -m benchmarks.starts                     every row, five seeds; most of an hour on one core, once
    python -m benchmarks.starts --rows LSTM,post    rows whose name has these words in a row
    python -m benchmarks.starts --methods auto,he
    python -m benchmarks.starts --fresh             what was kept of the other methods is made again
    python -m benchmarks.starts --short             one shallow network, two seeds, 20 steps

A row is a network on a task. Every method starts it from five seeds and trains at every learning rate of the grid. A
method's loss on a row is its mean over seeds at its best learning rate, with the standard error. A training run
diverges when its loss ends not finite or above where it began. Costs are forward passes (`learned_starts` says how
they are counted). A method that cannot run on a network is "not run" there. `auto` is `sz.init_`, run every time;
what the others reach is kept (`kept`), since nothing of stepzero is in it. Runs with all methods put their rows into
``benchmarks/results/starts.json``; exit 1 when `auto` misses a bar.
"""

import argparse
import json
import math
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import kept, machine
from benchmarks.small import training
from benchmarks.start_runs import METHODS, ROWS, outcome

RESULTS = Path(__file__).parent / "results" / "starts.json"
SEEDS = 5
ROWS_BAR, COST_BAR = 0.9, 500


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 1 when a bar is missed."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    began = time.process_time()
    names = chosen_rows(options.rows)
    methods = [name for name in METHODS if name in options.methods.split(",") or not options.methods]
    seeds, steps = SEEDS, training.STEPS
    if options.short:
        names, seeds, steps = names[:1], 2, 20
    results = {}
    for name in names:
        results[name] = {
            method: _outcome_of(name, method, seeds, steps, fresh=options.fresh or options.short) for method in methods
        }
        _print_row(name, results[name])
        if not options.short and methods == list(METHODS):
            _write({name: results[name]}, time.process_time() - began)
    document = summary(results) if "auto" in methods else {"meets_bars": True}
    print(json.dumps(document, indent=1))
    return 0 if document["meets_bars"] else 1


def _write(fresh: dict[str, Any], seconds: float) -> None:
    """Put one row into the stored results, which may be made in several runs; rows not run yet are named."""
    known = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}
    rows = {name: {**known, **fresh}[name] for name in ROWS if name in known or name in fresh}
    missing = [name for name in ROWS if name not in rows]
    head = {"machine": machine.describe(), "seconds_of_last_run": round(seconds), "rows_not_run": missing}
    document = summary(rows)
    document["meets_bars"] &= not missing
    RESULTS.write_text(json.dumps({**head, **document, "rows": rows}, indent=1) + "\n")


def chosen_rows(parts: str) -> list[str]:
    """Rows whose name has the words of one of these parts, which commas separate, in a row; all when empty."""
    wanted = [_words(part) for part in parts.split(",")]
    return [name for name in ROWS if any(part in _words(name) for part in wanted)]


def _words(text: str) -> str:
    """Words between bars, so that a part ends where a word does: "ReLU 5" is not in "ReLU 50"."""
    return "".join(f"|{word}" for word in re.findall(r"\w+", text)) + "|"


def _outcome_of(name: str, method: str, seeds: int, steps: int, *, fresh: bool) -> dict[str, Any]:
    def make() -> dict[str, Any]:
        return outcome(ROWS[name], method, seeds=seeds, steps=steps)

    if method == "auto":
        return make()
    sources = [Path(__file__).parent / each for each in ("start_runs.py", "learned_starts.py", "small")]
    return kept.outcome(f"starts {name} {method} {seeds} {steps}", sources, make, fresh=fresh)


def summary(results: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """How often `auto` is best or within one standard error of the best, what diverges, what it costs."""
    won = {name: is_best(row) for name, row in results.items()}
    diverged = {
        method: statistics.fmean(row[method]["diverged"] for row in results.values())
        for method in METHODS
        if all("diverged" in row.get(method, {}) for row in results.values())
    }
    ran = [row for row in results.values() if "forwards" in row.get("gradinit", {}) and "forwards" in row["auto"]]
    cheaper = min((row["gradinit"]["forwards"] / row["auto"]["forwards"] for row in ran), default=math.inf)
    share = sum(won.values()) / max(1, len(won))
    steadiest = all(diverged.get("auto", 1.0) <= each for each in diverged.values())
    return {
        "best_or_within_one_standard_error": share, "rows_bar": ROWS_BAR,
        "lost": [name for name in won if not won[name]],
        "diverged": diverged, "diverges_least": steadiest,
        "cheaper_than_gradinit": cheaper if math.isfinite(cheaper) else None, "cost_bar": COST_BAR,
        "meets_bars": share >= ROWS_BAR and steadiest and cheaper >= COST_BAR,
    }  # fmt: skip


def is_best(row: dict[str, dict[str, Any]]) -> bool:
    """Whether no method's mean is below that of `auto` by more than that method's standard error."""
    own = row["auto"].get("loss")
    others = [each for each in row.values() if each.get("loss") is not None]
    if own is None or not others:
        return False
    best = min(others, key=lambda each: float(each["loss"]))
    return bool(own <= best["loss"] + best["standard_error"])


def _print_row(name: str, row: dict[str, dict[str, Any]]) -> None:
    print(f"\n{name}")
    for method, each in row.items():
        if "not_run" in each:
            print(f"  {method:<10} not run: {each['not_run']}")
            continue
        loss = "inf" if each["loss"] is None else f"{each['loss']:.4g} +- {each['standard_error']:.2g}"
        means = " ".join(_mean(values) for values in each["by_rate"].values())
        print(f"  {method:<10}{loss:>20} at {each['rate']:<6g} diverged {each['diverged']:>4.0%}"
              f"  forwards {each['forwards']:<7.0f} {means}", flush=True)  # fmt: skip


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.3g}" if len(known) == len(values) else "inf"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one row, two seeds, 20 steps")
    parser.add_argument("--rows", default="", help="words of names of rows, separated by commas")
    parser.add_argument("--fresh", action="store_true", help="make again what was kept of the other methods")
    parser.add_argument("--methods", default="", help="names of methods, separated by commas; all when empty")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
