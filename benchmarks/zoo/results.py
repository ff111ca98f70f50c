"""Verdicts as lines on a terminal, as lines in a file (to resume from) and as one table that a person can review."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.zoo.judge import Idiom, Said, Verdict

COLUMNS = f"{'params':>12} {'checked':>9} {'err':>4}{'warn':>5}{'note':>5} {'check s':>8}{'step s':>8}{'ratio':>7}"
HEAD = f"{'model':<42}{COLUMNS}  result"
OWN = "torch/"
"""Source of the models that are written here and nowhere published."""
SEVERITIES = (("error", 4), ("warning", 5), ("info", 5))


def append(path: Path, verdict: Verdict) -> None:
    """Add one verdict to the file of lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lines:
        lines.write(json.dumps(dataclasses.asdict(verdict)) + "\n")


def read(path: Path) -> dict[str, Verdict]:
    """Verdicts by key; the last line of a key counts. A missing file has none."""
    if not path.exists():
        return {}
    return {verdict.key: verdict for verdict in map(_verdict, path.read_text().splitlines())}


def _verdict(text: str) -> Verdict:
    plain = json.loads(text)
    plain["findings"] = [Said(**said) for said in plain["findings"]]
    plain["accepted"] = [Idiom(**idiom) for idiom in plain["accepted"]]
    return Verdict(**plain)


def line(verdict: Verdict) -> str:
    """One line of the table on a terminal."""
    counts = "".join(f"{verdict.count(severity):>{width}}" for severity, width in SEVERITIES)
    times = f"{verdict.check_seconds:>8.2f}{verdict.step_seconds:>8.3f}{verdict.ratio:>7.1f}"
    return f"{verdict.key:<42}{verdict.parameters:>12,} {verdict.weighted:>9} {counts} {times}  {_result(verdict)}"


def _result(verdict: Verdict) -> str:
    troubles = {"NOT BUILT": verdict.unbuilt, "LATE": verdict.late, "CRASH": verdict.crash}
    for word, told in troubles.items():
        if told:
            return f"{word} {told.splitlines()[0][:150]}"
    words = [
        f"{word} {len(lines)}: {lines[0][:120]}"
        for word, lines in (("CHANGED", verdict.changed), ("WRONG", verdict.wrong), ("INCOMPLETE", verdict.incomplete))
        if lines
    ]
    if not verdict.is_repeatable:
        words.append("DIFFERS from one check to the next")
    codes = Counter(said.code for said in verdict.findings if said.severity != "info")
    return "; ".join([*words, *(f"{code} x{count}" for code, count in sorted(codes.items()))]) or "ok"


def summary(verdicts: list[Verdict]) -> str:
    """The last paragraph on a terminal: totals, then each error that nobody argued for."""
    totals = ", ".join(f"{name} {value}" for name, value in total(verdicts).items())
    alarms = [
        f"  {verdict.key}: {said.code} {', '.join(said.where)}: {said.message}"
        for verdict in verdicts
        for said in verdict.false_alarms[:3]
    ]
    accepted = [
        f"  {verdict.key}: accepted {', '.join(f'{idiom.name} x {idiom.count}' for idiom in verdict.accepted)}"
        for verdict in verdicts
        if verdict.accepted
    ]
    return "\n".join(["", totals, *alarms, *accepted])


def total(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """The numbers that the zoo is held to; models that do not run, or not in time, count in none but the first two.

    Time is compared for published models alone: the ten idioms of a few thousand weights take no time to train.
    """
    ran = [verdict for verdict in verdicts if not (verdict.unbuilt or verdict.late)]
    ratios = sorted(verdict.ratio for verdict in ran if verdict.ratio and not verdict.key.startswith(OWN))
    warned = [verdict for verdict in ran if any(said.severity == "warning" for said in verdict.findings)]
    unargued = [
        verdict
        for verdict in warned
        if any(said.severity == "warning" and not said.is_argued for said in verdict.findings)
    ]
    return {
        "models": len(ran),
        "not run": sum(bool(verdict.unbuilt or verdict.late) for verdict in verdicts),
        "crashed": sum(bool(verdict.crash) for verdict in ran),
        "changed": sum(bool(verdict.changed) for verdict in ran),
        "with errors": sum(bool(verdict.count("error")) for verdict in ran),
        "with errors not argued": sum(bool(verdict.false_alarms) for verdict in ran),
        "with warnings": len(warned),
        "with warnings not argued": len(unargued),
        "incomplete": sum(bool(verdict.incomplete) for verdict in ran),
        "wrong": sum(bool(verdict.wrong) for verdict in ran),
        "check over step, median": _quantile(ratios, 0.5),
        "check over step, 95 %": _quantile(ratios, 0.95),
    }


def _quantile(ordered: list[float], share: float) -> float:
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1) if ordered else 0.0


def document(verdicts: list[Verdict], seed: int) -> str:
    """The table as JSON, one line a model: what was said in full where it is louder than a note, counts elsewhere."""
    head = {"machine": machine.describe(), "seed": seed, "total": total(verdicts)}
    rows = ",\n".join(f"  {json.dumps(row(verdict))}" for verdict in verdicts)
    return f'{json.dumps(head, indent=1)[:-2]},\n "models": [\n{rows}\n ]\n}}\n'


def row(verdict: Verdict) -> dict[str, Any]:
    """One model of the table, without what is empty."""
    loud = [_loud(said) for said in verdict.findings if said.severity != "info"]
    notes = Counter(said.code for said in verdict.findings if said.severity == "info")
    entries = {
        "key": verdict.key,
        "family": verdict.family,
        "parameters": verdict.parameters,
        "not built": verdict.unbuilt.partition("\n")[0],
        "late": verdict.late,
        "crash": verdict.crash,
        "changed": verdict.changed,
        "said": loud,
        "notes": dict(sorted(notes.items())),
        "accepted": {idiom.name: idiom.count for idiom in verdict.accepted},
        "weighted": verdict.weighted,
        "wrong": verdict.wrong,
        "incomplete": verdict.incomplete,
        "differs": not verdict.is_repeatable,
        "step ms": round(verdict.step_seconds * 1e3, 1),
        "ratio": round(verdict.ratio, 1),
        "passes": verdict.passes,
        "check MiB": round(verdict.check_mib),
        "step MiB": round(verdict.step_mib),
    }
    return {name: value for name, value in entries.items() if value or name == "parameters"}


def _loud(said: Said) -> dict[str, Any]:
    places = said.where[:2] + (["..."] if len(said.where) > 2 else [])
    argued = {"argued": said.argument} if said.argument else {}
    return {"code": said.code, "severity": said.severity, "where": places, "message": said.message, **argued}
