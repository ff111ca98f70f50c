"""`python -m benchmarks.lab_crash`: a run of the lab is killed again and again, resumed, and compared with a calm one.

Every kill is SIGKILL at a random moment, of the process that holds the store; its workers end with it.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine
from stepzero import lab
from stepzero.lab.grid import Grid
from stepzero.lab.running import Result
from stepzero.lab.store import Store

Rows = dict[str, list[dict[str, Any]]]


def grid(networks: int, steps: int) -> Grid:
    """Two starts, two depths and as many seeds as make up so many networks."""
    return Grid(
        tasks="clusters", weights=("lecun", "he"), depths=(2, 3), widths=32, lrs=0.05, batch=32, steps=steps,
        seeds=networks // 4, name="crash",
    )  # fmt: skip


class Lab:
    """Runs `stepzero lab` on one store in child processes."""

    def __init__(self, folder: Path, wanted: Grid, engine: str, workers: int) -> None:
        self.store, self.spec = folder / "lab.sqlite", folder / "crash.toml"
        self.words = ["--engine", engine, "--workers", str(workers), "--store", str(self.store)]
        self.spec.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in wanted.to_mapping().items()))

    def begin(self) -> subprocess.Popen[bytes]:
        """Run, or resume once the store knows the run."""
        words = ["resume", "1"] if self.runs() else ["run", str(self.spec)]
        command = [sys.executable, "-m", "stepzero", "lab", *words, *self.words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)

    def runs(self) -> int:
        """Runs the store knows."""
        opened = Store(self.store)
        count = len(opened.runs())
        opened.close()
        return count

    def done(self) -> int:
        """Networks in the store."""
        return len(Result(1, self.store).networks()) if self.runs() else 0

    def rows(self) -> Rows:
        """All that was measured."""
        return _rows(Result(1, self.store))


def _rows(result: Result) -> Rows:
    return {"networks": result.networks(), "points": result.points(), "layers": result.layers()}


def killed(wild: Lab, kills: int, rng: random.Random, *, longest: float) -> list[int]:
    """Kill ``kills`` runs, each within ``longest`` seconds of its first commit; networks in the store after each."""
    counts = []
    while len(counts) < kills:
        before, child = wild.done(), wild.begin()
        while child.poll() is None and wild.done() == before:
            time.sleep(0.05)
        time.sleep(rng.random() * longest)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
        time.sleep(1.5)  # its workers notice
        counts.append(wild.done())
        if counts[-1] == before:
            break
    return counts


def finished(wild: Lab) -> None:
    """Run to the end."""
    child = wild.begin()
    _, notes = child.communicate()
    if child.returncode:
        raise RuntimeError(notes.decode())


def trial(networks: int, steps: int, kills: int, *, engine: str = "local", workers: int = 2, seed: int = 0,
          longest: float = 1.0) -> dict[str, Any]:  # fmt: skip
    """A killed and resumed run beside a calm one."""
    wanted = grid(networks, steps)
    with tempfile.TemporaryDirectory() as calm_folder, tempfile.TemporaryDirectory() as wild_folder:
        wild = Lab(Path(wild_folder), wanted, engine, workers)
        counts = killed(wild, kills, random.Random(seed), longest=longest)
        finished(wild)
        calm = lab.run(wanted, store=Path(calm_folder) / "lab.sqlite", workers=0)
        found, expected = wild.rows(), _rows(calm)
    keys = [row["key"] for row in found["networks"]]
    return {
        "networks": len(keys), "once_each": len(set(keys)) == len(keys) == len(list(wanted.networks())),
        "kills": len(counts), "after_each_kill": counts, "bit_equal": found == expected,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--longest", type=float, default=0.3, help="seconds from a commit to a kill, at most")
    parser.add_argument("--engine", default="local")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    result = trial(options.networks, options.steps, options.kills, engine=options.engine, longest=options.longest)
    result |= {"steps": options.steps, "machine": machine.describe()}
    print(json.dumps(result))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
