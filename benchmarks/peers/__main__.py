"""stepzero beside other checkers: what they find in bad starts, and what they say of good ones.

    python -m benchmarks.peers --faults --cases FOLDER   planted faults, and real bugs with their repairs
    python -m benchmarks.peers --only tinytorchtest ...  one checker; the others keep the numbers they had
    python -m benchmarks.peers --site FOLDER ...         where packages lie that are installed apart (tinytorchtest)
    python -m benchmarks.peers --fresh ...               ask again what was answered before

Every checker gets the same pairs, each in a process of its own, and is asked for all that it can tell without numbers
from the user. A bad start is *detected* when something is said of it that is not said of the good one; anything said of
a good start, or anything new said of a harmless twin, is an *alarm*. Writes ``benchmarks/results/peers.json``.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.peers.checkers import CHECKERS

RESULTS = Path(__file__).parents[1] / "results" / "peers.json"
KEPT = Path(__file__).parents[1] / ".kept"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = _parse(arguments)
    known = json.loads(RESULTS.read_text())["checkers"] if RESULTS.exists() else {}
    for checker in options.only or CHECKERS:
        known[checker] = _asked(checker, options)
    table = {name: each["totals"] for name, each in known.items()}
    show(table)
    if not options.dry:
        RESULTS.write_text(json.dumps({"machine": machine.describe(), "checkers": known}, indent=1) + "\n")
    return 0


def _asked(checker: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one checker over all pairs in a process of its own."""
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"peers-{checker}.jsonl"
    if options.fresh:
        file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.peers.asking", checker, str(file)]
    command += ["--faults"] if options.faults else []
    command += ["--cases", str(options.cases)] if options.cases else []
    paths = [os.environ.get("PYTHONPATH", ""), *([str(options.site)] if options.site else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    answers = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return {"version": _version(checker, options.site), "totals": totals(answers), "answers": answers}


def _version(checker: str, site: Path | None) -> str:
    places = [*sys.path, *([str(site)] if site else [])]
    found = [each.version for each in importlib.metadata.distributions(name=checker, path=places)]
    return found[0] if found else "not installed"


def totals(answers: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Counts by source: real bugs, planted faults, harmless twins."""
    return {
        name: _counted(these)
        for name, these in (
            ("real bugs", [each for each in answers if each["source"] == "cases"]),
            ("planted faults", [each for each in answers if each["source"] == "faults" and not each["is_twin"]]),
            ("harmless twins", [each for each in answers if each["source"] == "faults" and each["is_twin"]]),
        )
        if these
    }


def _counted(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "pairs": len(answers),
        "detected": sum(each["is_detected"] for each in answers),
        "alarms": sum(each["is_alarmed"] for each in answers),
        "crashes": sum(bool(each["crash"]) for each in answers),
        "median_seconds": round(statistics.median(each["seconds"] for each in answers), 2),
    }


def show(table: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print the table."""
    columns = ("pairs", "detected", "alarms", "crashes", "median_seconds")
    print(f"{'':<16}{'':<16}" + "".join(f"{name.replace('_', ' '):>16}" for name in columns))
    for checker, sources in table.items():
        for source, row in sources.items():
            print(f"{checker:<16}{source:<16}" + "".join(f"{row[name]:>16}" for name in columns))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, help="folder with pairs of a real bug and its repair")
    parser.add_argument("--faults", action="store_true", help="planted faults, one of each kind")
    parser.add_argument("--fresh", action="store_true", help="ask again what was answered before")
    parser.add_argument("--only", nargs="*", choices=CHECKERS, help="these checkers; the others keep their numbers")
    parser.add_argument("--site", type=Path, help="folder of packages installed apart")
    parser.add_argument("--dry", action="store_true", help="print only")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
