"""Is the symmetry probe right? Exit 1 when a theorem fails or a verdict of the probe did not come true.

    python -m benchmarks.symmetry                          theorems, population of 200 networks, nine cells
    python -m benchmarks.symmetry --short                  the same, small: under a minute
    python -m benchmarks.symmetry --part population --seeds 0:50

Training judges in real numbers as far as rounded ones can tell: every run has a shadow that starts one rounding away,
and a group of units is judged at the last step at which the two still agree to 1e-11 of its responses; for nearly all
that is the end of the run (`benchmarks.symmetry.outcome`). How many were judged earlier is printed. Cells whose verdict
and outcome differ do not fail the run; their tables say what agrees. A full run writes
``benchmarks/results/symmetry.json``.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.symmetry import cells, show, study, theorems
from benchmarks.symmetry.verdict import Observe, observe

RESULTS = Path(__file__).parents[1] / "results" / "symmetry.json"
PARTS = ("theorems", "population", "cells")
FINAL = range(1000, 1200)
"""Seeds of the published run; develop on others."""


def main(arguments: list[str] | None = None, observe: Observe = observe) -> int:
    """Run the command line; returns the exit code."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    document: dict[str, Any] = {}
    failures = 0
    for part in options.part or PARTS:
        document[part], failed = RUN[part](options, observe)
        failures += failed
    is_full = not options.short and not options.part and not options.seeds
    output = options.output or (RESULTS if is_full else None)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"machine": machine.describe(), **document}, indent=1, default=str) + "\n")
    return 1 if failures else 0


def _theorems(options: argparse.Namespace, observe: Observe) -> tuple[Any, int]:  # noqa: ARG001 - one signature
    checks = theorems.run(widths=(7,)) if options.short else theorems.run()
    show.theorems(checks)
    rows = [{**dataclasses.asdict(check), "passed": check.passed} for check in checks]
    return rows, sum(not check.passed for check in checks)


def _population(options: argparse.Namespace, observe: Observe) -> tuple[Any, int]:
    seeds = options.seeds or (range(20) if options.short else FINAL)
    found = study.run(seeds, observe=observe)
    show.population(found)
    totals = study.totals(found)
    tables = {
        "seeds": [seeds.start, seeds.stop],
        "totals": totals,
        "confusion": study.confusion(found),
        "kinds": study.by_kind(found),
        "disagreements": study.disagreements(found),
        "not_judged": list(found.not_run),
        "unread": list(found.unread),
    }
    return tables, totals["disagree"] + totals["not_judged_networks"]


def _cells(options: argparse.Namespace, observe: Observe) -> tuple[Any, int]:  # noqa: ARG001 - one signature
    rows = cells.run(widths=(8,), seeds=4, steps=600, checks=1) if options.short else cells.run()
    starts = cells.starts(rows)
    show.cells(rows, starts)
    return {"rows": rows, "starts": starts}, 0


RUN = {"theorems": _theorems, "population": _population, "cells": _cells}


def _seeds(text: str) -> range:
    first, _, last = text.partition(":")
    return range(int(first), int(last))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer widths, networks, seeds and steps")
    parser.add_argument("--seeds", type=_seeds, metavar="A:B", help="members of the population; 1000:1200 by default")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--output", type=Path, help="where the JSON goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
