"""The tables as text."""

from collections.abc import Sequence
from typing import Any

from benchmarks.symmetry.study import FATES, Study, by_kind, confusion, disagreements, totals
from benchmarks.symmetry.theorems import Check

SHOWN = 40
"""Disagreements printed; the JSON has all."""


def theorems(checks: Sequence[Check]) -> None:
    print(f"\n{'theorems':<72}{'optimizer':<18}{'measured':>10}  bar")
    for check in checks:
        verdict = ("ok" if check.passed else "FAIL") if check.relation else ""
        bar = f"{check.relation} {check.bar:g}" if check.relation else "no bar"
        print(f"{verdict:<5}{check.statement:<67}{check.optimizer:<18}{check.value:>10.2e}  {bar}")
    barred = [check for check in checks if check.relation]
    print(f"{sum(check.passed for check in barred)} of {len(barred)} pass; {len(checks) - len(barred)} without a bar")


def population(study: Study) -> None:
    _confusion(study)
    _kinds(study)
    said = totals(study)
    share = said["agree"] / said["compared"] if said["compared"] else 0.0
    print(
        f"\n{said['networks']} networks, {said['groups']} groups: {said['agree']} of {said['compared']} outcomes as"
        f" foretold ({share:.2%}); {said['disagree']} not"
        f"\nrounding grew: {said['judged_before_the_end']} outcomes judged before the last step, the shortest after"
        f" {said['shortest_horizon']} ({said['parted_later_by_rounding']} stay until then and part later), and"
        f" {said['judged_with_a_large_eps']} with a large eps; the latest real break came at step {said['last_break']}"
        f"\naside: {said['unclear']} unclear, {said['untouched']} without a gradient, {said['unread_blocks']} blocks"
        f" without a response to read, {said['not_judged_networks']} networks not judged"
        f"\n{said['seconds']} s, probe {said['probe_seconds']} s"
    )
    _disagreements(study)
    for line in (*study.not_run[:SHOWN], *study.unread[:SHOWN]):
        print(f"  aside: {line}")


def _confusion(study: Study) -> None:
    print(f"\n{'population':<12}{'foretold':<12}" + "".join(f"{fate:>11}" for fate in FATES))
    for optimizer, table in confusion(study).items():
        for said, cell in sorted(table.items(), reverse=True):
            print(f"{optimizer:<12}{said:<12}" + "".join(f"{cell[fate]:>11}" for fate in FATES))


def _kinds(study: Study) -> None:
    table = by_kind(study)
    optimizers = list(next(iter(table.values()))["agreement"]) if table else []
    print(f"\n{'plant':<42}{'nets':>5}{'groups':>7}" + "".join(f"{name:>11}" for name in optimizers) + "  levels said")
    for kind, row in table.items():
        cells = "".join(f"{f'{agree}/{decided}':>11}" for agree, decided in row["agreement"].values())
        levels = ", ".join(f"{level} {count}" for level, count in row["levels"].items())
        print(f"{kind:<42}{row['networks']:>5}{row['groups']:>7}{cells}  {levels}")


def _disagreements(study: Study) -> None:
    found = disagreements(study)
    for item in found[:SHOWN]:
        print(f"\n{item['case']}  {item['about']}")
        print(f"  {item['kind']}: {', '.join(item['units'][:6])}; said: {item['level']}")
        for name, numbers in item["wrong"].items():
            gaps = " -> ".join(f"{gap:.1e}" for gap in numbers["gap"])
            print(
                f"  {name}: foretold {numbers['foretold']}, {numbers['fate']}; gap start, step 1, step"
                f" {numbers['horizon']}: {gaps}"
            )
    if len(found) > SHOWN:
        print(f"\n... and {len(found) - SHOWN} more")


def cells(rows: Sequence[dict[str, Any]], starts: Sequence[dict[str, Any]]) -> None:
    place = f"{'w':>3} {'act':<5}{'target':<8}{'opt':<6}{'weights':<10}{'biases':<10}"
    print(
        f"\n{place}{'learned':>8}{'units':>6}{'dead':>6}{'steps':>7}  {'outcome':<10}{'verdict':<9}agree  codes (seeds)"
    )
    for row in rows:
        setting = f"{row['width']:>3} {row['act']:<5}{row['task']:<8}{row['optimizer']:<6}"
        place = f"{setting}{row['weights']:<10}{row['biases']:<10}"
        learned = f"{row['learned']}/{row['n']}"
        numbers = f"{learned:>8}{row['distinct']:>6.0f}{row['dead']:>6.2f}{row['steps']:>7.0f}"
        codes = ", ".join(f"{code} ({count})" for code, count in row["codes"].items())
        print(f"{place}{numbers}  {row['outcome']:<10}{row['severity']:<9}{_word(row):<7}{codes}")
    print(f"\n{'act':<6}{'weights':<10}{'biases':<10}{'asked for':<17}{'said':<24}{'agree':<7}outcomes")
    for row in starts:
        said = ", ".join(f"{severity} {count}" for severity, count in row["severities"].items())
        outcomes = ", ".join(f"{outcome} {count}" for outcome, count in row["outcomes"].items())
        print(
            f"{row['act']:<6}{row['weights']:<10}{row['biases']:<10}{row['asked']:<17}{said:<24}{_word(row):<7}{outcomes}"
        )


def _word(row: dict[str, Any]) -> str:
    return "yes" if row["agrees"] else "NO"
