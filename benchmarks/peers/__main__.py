"""stepzero beside other checkers: what they find in bad starts, and what they say of good ones.

    python -m benchmarks.peers --faults --cases FOLDER   planted faults, and real bugs with their repairs
    python -m benchmarks.peers --only tinytorchtest ...  one checker; the others keep the numbers they had
    python -m benchmarks.peers --site FOLDER ...         where packages lie that are installed apart (tinytorchtest)
    python -m benchmarks.peers --fresh ...               ask again what was answered before

Every checker gets the same pairs, each in a process of its own, and is asked for all that it can tell without numbers
from the user. A bad start is *detected* when something is said of it that is not said of the good one; anything said of
a good start, or anything new said of a harmless twin, is an *alarm*. The planted faults are those that training found
to hurt, and the twins are harmless; both lie in networks on which no rule was developed. A pair that takes more than
two minutes of processor time, or that breaks a checker, is a *crash*. Answers are kept one by one: a run that was
stopped goes on where it was, unless the checkers or the pairs have changed. A run with both kinds of pairs writes
``benchmarks/results/peers.json``; a checker that is not installed keeps the numbers it had.

Read the table with care: faults and twins were devised by the authors of stepzero, its rules were written with real
bugs such as these at hand, and the others are built for something else; the results say for what. Several pairs share
one good network, so alarms on the good starts of planted faults are not independent.
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

import torch

import stepzero
from benchmarks import kept, machine
from benchmarks.peers import asking, checkers, pairs
from benchmarks.peers.checkers import CHECKERS, SCOPE

RESULTS = Path(__file__).parents[1] / "results" / "peers.json"
ABSENT = "not installed"
_FAULTS = (Path(__file__).parents[1] / "faults", pairs.TRIALS)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    known = json.loads(RESULTS.read_text())["checkers"] if RESULTS.exists() else {}
    for checker in options.only or CHECKERS:
        if (version := _version(checker, options.site)) == ABSENT:
            print(f"{checker} is {ABSENT}: left as it was")
            continue
        known[checker] = _asked(checker, version, options)
        if options.cases and options.faults:
            document = {
                "machine": machine.describe(),
                "checkers": {name: known[name] for name in CHECKERS if name in known},
            }
            RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    show({name: each["totals"] for name, each in known.items()})
    return 0


def _asked(checker: str, version: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one checker over all pairs in a process of its own."""
    file = _place(checker, version, options)
    if options.fresh:
        file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.peers.asking", checker, str(file)]
    command += ["--faults"] if options.faults else []
    command += ["--cases", str(options.cases)] if options.cases else []
    paths = [os.environ.get("PYTHONPATH", ""), *([str(options.site)] if options.site else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    answers = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return {"version": version, "scope": SCOPE[checker], "totals": totals(answers), "answers": answers}


def _place(checker: str, version: str, options: argparse.Namespace) -> Path:
    """Where the answers lie that this checker gave about these pairs."""
    sources = [*(Path(str(each.__file__)) for each in (asking, checkers, pairs)), *_FAULTS]
    sources += [Path(stepzero.__file__).parent] if checker == "stepzero" else []
    sources += [options.cases] if options.cases else []
    kept.FOLDER.mkdir(exist_ok=True)
    return kept.FOLDER / f"peers-{checker}-{kept.key(f'{checker} {version}', sources)}.jsonl"


def _version(checker: str, site: Path | None) -> str:
    places = [*sys.path, *([str(site)] if site else [])]
    found = [each.version for each in importlib.metadata.distributions(name=checker, path=places)]
    return found[0] if found else ABSENT


def totals(answers: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Counts by source: real bugs, planted faults, harmless twins."""
    table = {
        name: _counted(these)
        for name, these in (
            ("real bugs", [each for each in answers if each["source"] == "cases"]),
            ("planted faults", [each for each in answers if each["source"] == "faults" and not each["is_twin"]]),
            ("harmless twins", [each for each in answers if each["source"] == "faults" and each["is_twin"]]),
        )
        if these
    }
    table.get("harmless twins", {}).pop("detected", None)  # nothing is to be found there
    return table


def _counted(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "pairs": len(answers),
        "detected": sum(each["is_detected"] for each in answers),
        "alarms": sum(each["is_alarmed"] for each in answers),
        "crashes": sum(bool(each["crash"]) for each in answers),
        "median_seconds": round(statistics.median(each["seconds"] for each in answers), 2),
        "total_seconds": round(sum(each["seconds"] for each in answers)),
    }


def show(table: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print the table."""
    columns = ("pairs", "detected", "alarms", "crashes", "median_seconds", "total_seconds")
    print(f"{'':<16}{'':<16}" + "".join(f"{name.replace('_', ' '):>16}" for name in columns))
    for checker, sources in table.items():
        for source, row in sources.items():
            print(f"{checker:<16}{source:<16}" + "".join(f"{row.get(name, '-'):>16}" for name in columns))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, help="folder with pairs of a real bug and its repair")
    parser.add_argument("--faults", action="store_true", help="planted faults that hurt, and harmless twins")
    parser.add_argument("--fresh", action="store_true", help="ask again what was answered before")
    parser.add_argument("--only", nargs="*", choices=CHECKERS, help="these checkers; the others keep their numbers")
    parser.add_argument("--site", type=Path, help="folder of packages installed apart")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
