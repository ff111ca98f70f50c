"""Whether a check finds faults, names their place and keeps silent on the same writes where they do no harm.

    python -m benchmarks.faults                 the networks and seeds that are held back; an hour
    python -m benchmarks.faults --seen          those on which rules may be developed
    python -m benchmarks.faults --short         a few of them, untrained: seconds
    python -m benchmarks.faults --kind NAME     only that kind of write; --net NAME: networks with that in their name

A fault counts when it really hurts: the network was trained with it for 200 steps at three learning rates, and the
best loss is worse than that of the sound network by more than the margin: a fifth, three deviations of a single run,
or a twentieth of what the sound network learnt, whichever is most. 200 faults, drawn from all that were planted, are
trained so. A fault is *detected* when the check says a warning or an error that it does not say of the sound network;
it is *placed* when the first place of the first finding is that of the fault; it is *named* when the first finding's
code is one that stands for such a fault. A harmless twin is *flagged* by any new warning or error; those flagged are
trained as well. A full run writes ``benchmarks/results/faults.json``; exit 1 when a bar is missed.
"""

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import torch

from benchmarks import machine
from benchmarks.faults import trial
from benchmarks.faults.trial import FAULTS, FIRST_HELD, TWINS, Trial

RESULTS = Path(__file__).parents[1] / "results" / "faults.json"
COUNT, SEEDS = 5, 3
"""Trials of each kind, and seeds they may use."""
SAMPLE = 200
"""Faults that are trained."""
BARS = {"detected": 0.95, "placed": 0.9, "flagged": 0.02}
SHORT = ("NaN element", "copied units", "dead product", "softmax twice", "zero branch", "permuted units", "zero head")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    began = time.process_time()
    kinds = [kind for kind in mixed() if options.kind in ("", kind) and (not options.short or kind in SHORT)]
    first, count = (0 if options.seen or options.short else FIRST_HELD), 1 if options.short else options.count
    found = trial.trials(
        kinds, range(first, first + SEEDS), count, is_held=not (options.seen or options.short), only=options.net
    )
    deadline = time.monotonic() + 60 * options.minutes
    done = [_show(each) for each in itertools.takewhile(lambda _: time.monotonic() < deadline, found)]
    if not options.short:
        train_(done, deadline + 60 * options.minutes)
    document = summary(done)
    show(document)
    if not (options.short or options.kind or options.net):
        half = "seen" if options.seen else "held"
        seconds = round(time.process_time() - began)
        _write({half: {"machine": machine.describe(), "seconds": seconds, **document, "trials": list(map(_row, done))}})
    return 0 if document["meets_bars"] else 1


def mixed() -> list[str]:
    """Faults and twins in one fixed order that has some of all at every length."""
    kinds = [*FAULTS, *TWINS]
    return Random(0).sample(kinds, len(kinds))


def train_(done: Sequence[Trial], deadline: float) -> None:
    """Train every twin that was flagged and a sample of the faults, as far as time allows."""
    faults = [each for each in done if not each.case.is_twin and not each.crash]
    chosen = Random(0).sample(faults, min(SAMPLE, len(faults)))
    for each in (*(each for each in done if each.case.is_twin and each.is_detected), *chosen):
        if time.monotonic() < deadline:
            trial.train_(each)


def summary(done: Sequence[Trial]) -> dict[str, Any]:
    """Shares over all, and by kind."""
    faults = [each for each in done if not each.case.is_twin]
    twins = [each for each in done if each.case.is_twin]
    hurting = [each for each in faults if each.hurts]
    told = [each for each in hurting if each.is_detected]
    with_place = [each for each in told if each.is_placed is not None]
    flagged = [each for each in twins if each.is_detected and not each.hurts]
    document = {
        "kinds": len({each.case.kind for each in faults}), "networks": len({each.case.net for each in done}),
        "planted": len(faults), "trained": sum(each.hurts is not None for each in faults), "hurting": len(hurting),
        "detected": share(len(told), len(hurting)),
        "placed": share(sum(bool(each.is_placed) for each in with_place), len(with_place)),
        "named": share(sum(each.is_named for each in told), len(told)),
        "detected_of_all_planted": share(sum(each.is_detected for each in faults), len(faults)),
        "twins": len(twins), "flagged": share(len(flagged), len(twins)),
        "twins_that_hurt": sum(bool(each.hurts) for each in twins),
        "crashes": sum(bool(each.crash) for each in done),
    }  # fmt: skip
    document["meets_bars"] = (
        document["detected"] >= BARS["detected"]
        and document["placed"] >= BARS["placed"]
        and document["flagged"] <= BARS["flagged"]
        and not document["crashes"]
    )
    return {"bars": BARS, **document, "by_kind": _by_kind(faults, FAULTS), "by_twin": _by_kind(twins, TWINS)}


def share(part: int, whole: int) -> float:
    """Three decimals; 1 of nothing."""
    return round(part / whole, 3) if whole else 1.0


def _by_kind(done: Sequence[Trial], kinds: Iterable[str]) -> dict[str, dict[str, int]]:
    table = {}
    for kind in kinds:
        these = [each for each in done if each.case.kind == kind]
        hurting = [each for each in these if each.hurts]
        if these:
            table[kind] = {
                "planted": len(these), "trained": sum(each.hurts is not None for each in these),
                "hurting": len(hurting),
                "detected": sum(each.is_detected for each in these),
                "hurting_and_detected": sum(each.is_detected for each in hurting),
                "placed": sum(bool(each.is_placed) for each in these), "named": sum(_is_named(each) for each in these),
            }  # fmt: skip
    return table


def _is_named(each: Trial) -> bool:
    return not each.case.is_twin and each.is_named


def show(document: dict[str, Any]) -> None:
    """Print the tables."""
    columns = ("planted", "trained", "hurting", "detected", "hurting_and_detected", "placed", "named")
    for title, table in (("fault", document["by_kind"]), ("harmless twin", document["by_twin"])):
        print(f"\n{title:<32}" + "".join(f"{name.replace('hurting_and_', 'of them '):>18}" for name in columns))
        for kind, row in table.items():
            print(f"{kind:<32}" + "".join(f"{row[name]:>18}" for name in columns))
    print(
        f"\n{document['hurting']} of {document['trained']} trained faults hurt; "
        f"detected {document['detected']:.1%}, placed {document['placed']:.1%}, named {document['named']:.1%}; "
        f"harmless twins flagged {document['flagged']:.1%} of {document['twins']}; crashes {document['crashes']}"
    )


def _show(each: Trial) -> Trial:
    """One line for what is not as it should be."""
    case = each.case
    codes = " ".join(f"{said['code']}{said['severity'][0].upper()}" for said in each.said[:3])
    verdict = (
        "crashed" if each.crash else "flagged" if case.is_twin else "missed" if not each.is_detected else "elsewhere"
    )
    if each.crash or (each.is_detected if case.is_twin else not each.is_detected or each.is_placed is False):
        first = each.said[0]["where"][:1] if each.said else []
        places = ", ".join(each.where[:2])
        print(f"{verdict:<10}{case.kind}, {case.net}, {case.seed}, {places}: {codes} {first} {each.crash}", flush=True)
    return each


def _row(each: Trial) -> dict[str, Any]:
    """As data; of what was said only the first finding."""
    verdicts = {"is_twin": each.case.is_twin, "is_detected": each.is_detected, "is_placed": each.is_placed}
    plain = asdict(each)
    case = plain.pop("case")
    return case | {name: _finite(value) for name, value in plain.items()} | {"said": each.said[:1]} | verdicts


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(half: dict[str, Any]) -> None:
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(known | half, indent=1) + "\n")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seen", action="store_true", help="the networks on which rules may be developed")
    parser.add_argument("--short", action="store_true", help="a few kinds, untrained")
    parser.add_argument("--kind", default="", choices=("", *FAULTS, *TWINS), help="only this kind of write")
    parser.add_argument("--net", default="", help="only networks whose name contains this")
    parser.add_argument("--count", type=int, default=COUNT, help="trials of each kind")
    parser.add_argument("--minutes", type=float, default=600.0, help="time for planting, and again for training")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
