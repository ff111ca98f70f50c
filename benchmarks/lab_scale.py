"""`python -m benchmarks.lab_scale`: 20,000 networks in one grid; peak memory, rate, and how soon the store answers."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine

OPENS = 2.0
"""Most seconds until a stored run is shown."""


def trial(networks: int, steps: int, workers: int) -> dict[str, Any]:
    """Train so many networks in child processes, then list and show them."""
    with tempfile.TemporaryDirectory() as folder:
        store = ["--store", str(Path(folder) / "lab.sqlite")]
        axes = ["weights=lecun,he", "depths=1,2", "activations=tanh,relu", "tasks=xor", f"seeds={networks // 8}"]
        words = [part for axis in (*axes, f"steps={steps}") for part in ("--grid", axis)]
        seconds = _timed(["run", *words, "--workers", str(workers), *store])
        shown = min(_timed(["show", "1", *store]) for _ in range(3))
        inside = min(_inside(Path(folder) / "lab.sqlite") for _ in range(3))
        size = (Path(folder) / "lab.sqlite").stat().st_size
    return {
        "networks": networks, "steps": steps, "workers": workers, "seconds": round(seconds, 1),
        "networks_per_second": round(networks / seconds, 1), "store_mib": round(size / 2**20, 1),
        "peak_mib_of_a_process": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10),
        "show_seconds": round(shown, 2), "open_and_summarise_seconds": round(inside, 4),
    }  # fmt: skip


def _timed(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "stepzero", "lab", *words], check=True, capture_output=True)
    return time.perf_counter() - start


def _inside(store: Path) -> float:
    """Seconds of opening, reading and summarising alone, without the start of Python and torch."""
    from stepzero.lab import summary
    from stepzero.lab.running import Result

    start = time.perf_counter()
    summary.rows(Result(1, store).networks())
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    result = {**trial(options.networks, options.steps, options.workers), "machine": machine.describe()}
    print(json.dumps(result))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
