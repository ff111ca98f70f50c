"""`python -m benchmarks.fleet [--jax-python PYTHON] [-o FILE]`: all contenders by turns, on one core.

PYTHON is an interpreter that has jax; without it that column is left out. Rows of convolutional, recurrent and
attention networks follow; no bar is set for them.
"""

import argparse
import json
import os
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import machine
from benchmarks.fleet import spatial_side
from benchmarks.fleet.shape import Shape
from benchmarks.fleet.torch_side import CONTENDERS, Setup
from stepzero.lab import native
from stepzero.lab.modules import MODULES

WIDTHS, DEPTHS, ROUNDS = (16, 32, 64), (4, 8, 16), 7
BAR = {16: 15.0, 32: 15.0, 64: 6.0}
"""Least ratio to the loop, by width."""
AHEAD = 7
"""Least number of shapes at which the fleet is ahead of vmap and of jax."""
SHARE = 0.5
"""Goal at width 64: share of the rate of batched products alone."""


class Jax:
    """A child that times jax when asked."""

    def __init__(self, python: str) -> None:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        command = [python, str(Path(__file__).with_name("jax_side.py"))]
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        )  # fmt: skip

    def timed(self, shape: Shape) -> Callable[[], float]:
        def run() -> float:
            assert self.child.stdin is not None
            assert self.child.stdout is not None
            self.child.stdin.write(json.dumps(asdict(shape)) + "\n")
            self.child.stdin.flush()
            return float(self.child.stdout.readline())

        return run

    def close(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait(60)


def measure(shape: Shape, jax: Jax | None, rounds: int) -> dict[str, float]:
    """Median seconds a network-step of each contender; they take turns, after one round to warm up."""
    setup = Setup(shape)
    runs = {name: make(setup) for name, make in CONTENDERS.items()}
    if jax is not None:
        runs["jax"] = jax.timed(shape)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            times[name].append(run())
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def row(shape: Shape, seconds: dict[str, float]) -> dict[str, object]:
    """Rates, and ratios of the fleet to each."""
    own = seconds["fleet"]
    result: dict[str, object] = {"width": shape.width, "depth": shape.depth, "steps_per_second": round(1 / own)}
    result["gigaflops"] = round(shape.flops / own / 1e9, 1)
    result |= {f"times_{name}": round(seconds[name] / own, 2) for name in ("loop", "vmap", "jax") if name in seconds}
    result["share_of_products"] = round(seconds["products"] / own, 2)
    return result


def verdict(rows: list[dict]) -> dict[str, bool]:
    """Which bars are met."""
    names = [name for name in ("vmap", "jax") if f"times_{name}" in rows[0]]
    ahead = sum(all(each[f"times_{name}"] > 1 for name in names) for each in rows)
    return {
        "loop": all(each["times_loop"] >= BAR[each["width"]] for each in rows),
        "ahead_of_both": ahead >= AHEAD * len(rows) / (len(WIDTHS) * len(DEPTHS)),
        "share": all(each["share_of_products"] >= SHARE for each in rows if each["width"] == max(WIDTHS)),
    }


def spatial(rounds: int) -> list[dict[str, object]]:
    """Rows of the networks of images and sequences."""
    found = []
    for architecture in MODULES:
        for width in WIDTHS[:2]:
            found.append(spatial_side.row(spatial_side.Kind(architecture, width), rounds))
            print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jax-python")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--networks", type=int, default=512)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # children inherit it: one core for everybody
    jax = Jax(options.jax_python) if options.jax_python else None
    rows = []
    for width in WIDTHS:
        for depth in DEPTHS:
            shape = Shape(width, depth, options.networks)
            rows.append(row(shape, measure(shape, jax, options.rounds)))
            print(rows[-1], flush=True)
    if jax is not None:
        jax.close()
    result = {"machine": machine.describe(), "kernel": native.reason() or "compiled", "rows": rows}
    result["spatial"] = spatial(options.rounds)
    result["met"] = verdict(rows)
    print(result["met"])
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
