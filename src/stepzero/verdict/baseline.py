"""Baselines: what is in one, what is new against one, and how one is written so that it does not change by itself.

The key is code and place. The number of a finding only serves as a ratchet: a finding counts again when it is worse by
the baseline's factor, or louder, than it was.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from stepzero.core.baseline import Baseline, Entry
from stepzero.core.errors import ConfigError
from stepzero.core.finding import RANK, Finding, Severity
from stepzero.core.outcome import Report

Key: TypeAlias = tuple[str, str]
_DIGITS = 2


def read(path: Path | str) -> Baseline:
    """Read a baseline file; `ConfigError` says what is wrong with it."""
    name = str(path)
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"baseline {name}: no such file; `stepzero baseline write` makes it") from None
    except OSError as error:
        raise ConfigError(f"baseline {name}: {error.strerror}; expected a file of `stepzero baseline write`") from None
    try:
        found = msgspec.json.decode(raw, type=Baseline)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"baseline {name}: expected a file of `stepzero baseline write`, got: {error}") from None
    if found.schema != 1 or not found.factor > 1.0:
        raise ConfigError(
            f"baseline {name}: expected schema 1 and a factor above 1, got {found.schema}, {found.factor}"
        )
    return replace(found, name=name)


def dump(baseline: Baseline) -> str:
    """The text of the file: sorted, without dates, versions or seeds, so that the same faults give the same bytes."""
    entries = [_plain(entry) for entry in sorted(baseline.entries, key=lambda entry: (entry.code, entry.place))]
    plain = {"schema": baseline.schema, "factor": baseline.factor, "entries": entries}
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n"


def _plain(entry: Entry) -> dict[str, Any]:
    plain: dict[str, Any] = {"code": entry.code, "place": entry.place, "severity": entry.severity}
    if entry.value is not None:
        plain |= {"value": entry.value, "is_low_bad": entry.is_low_bad}
    return plain


def known(finding: Finding, severity: Severity, baseline: Baseline) -> str | None:
    """Why ``finding`` is none of today, in words; None when it counts: not in the baseline, louder or worse."""
    entries = {(entry.code, entry.place): entry for entry in baseline.entries}
    found = [entries.get(key) for key in _keys(finding)]
    if any(entry is None for entry in found):
        return None
    there = [entry for entry in found if entry is not None]
    if any(RANK[severity] < RANK[entry.severity] or _is_worse(finding, entry, baseline.factor) for entry in there):
        return None
    numbers = [entry.value for entry in there if entry.value is not None]
    return f"known since the baseline was written, there with {numbers[0]:g}" if numbers else "known"


def written(report: Report, before: Baseline | None = None) -> Baseline:
    """The baseline of every error and warning of ``report``, consequences too.

    A number that is within the factor of the one ``before`` has stays as it was, so that writing again changes nothing
    that has not changed.
    """
    old = before or Baseline()
    had = {(entry.code, entry.place): entry for entry in old.entries}
    entries: dict[Key, Entry] = {}
    for finding in _all(report):
        if finding.severity == "info":
            continue
        for code, place in _keys(finding):
            fresh = Entry(code, place, finding.severity, _rounded(finding.value), _is_low_bad(finding))
            entries[code, place] = _steady(fresh, had.get((code, place)), old.factor)
    return replace(old, entries=tuple(entries.values()))


def pruned(report: Report, baseline: Baseline) -> Baseline:
    """Drop what is stale, and tighten what got better by the factor; nothing is added or loosened."""
    gone = {(entry.code, entry.place) for entry in stale(report, baseline)}
    now = {(entry.code, entry.place): entry for entry in written(report).entries}
    kept = (entry for entry in baseline.entries if (entry.code, entry.place) not in gone)
    return replace(
        baseline,
        entries=tuple(_tightened(entry, now.get((entry.code, entry.place)), baseline.factor) for entry in kept),
    )


def stale(report: Report, baseline: Baseline) -> tuple[Entry, ...]:
    """Entries that no finding has any more, as far as their rules were asked and could judge."""
    silent = {entry.what.partition(" ")[0] for entry in report.coverage.not_judged}
    asked = set(report.coverage.rules_run) - silent
    present = {key for finding in _all(report) for key in _keys(finding)}
    return tuple(
        entry for entry in baseline.entries if entry.code in asked and (entry.code, entry.place) not in present
    )


def _all(report: Report) -> Iterator[Finding]:
    """Findings of the report, and those that only its baseline hid."""
    yield from report.findings
    yield from (each.finding for each in report.suppressed if each.by.startswith("baseline "))


def _keys(finding: Finding) -> Iterable[Key]:
    return [(finding.code, place) for place in finding.where or ("",)]


def _is_low_bad(finding: Finding) -> bool:
    """A number below its limit is bad for being small."""
    return finding.value is not None and finding.limit is not None and finding.value < finding.limit


def _is_worse(finding: Finding, entry: Entry, factor: float) -> bool:
    if entry.value is None or finding.value is None or not math.isfinite(entry.value):
        return False
    if _is_low_bad(finding) != entry.is_low_bad:
        return True
    small, large = sorted((abs(finding.value), abs(entry.value)))
    is_further = abs(finding.value) < abs(entry.value) if entry.is_low_bad else abs(finding.value) > abs(entry.value)
    return is_further and large > factor * small


def _steady(fresh: Entry, had: Entry | None, factor: float) -> Entry:
    if had is None or fresh.is_low_bad != had.is_low_bad or fresh.severity != had.severity:
        return fresh
    return had if _is_near(fresh.value, had.value, factor) else fresh


def _is_near(one: float | None, other: float | None, factor: float) -> bool:
    if one is None or other is None:
        return one is other
    small, large = sorted((abs(one), abs(other)))
    return large <= factor * small


def _tightened(entry: Entry, now: Entry | None, factor: float) -> Entry:
    if now is None or now.value is None or entry.value is None or now.is_low_bad != entry.is_low_bad:
        return entry
    is_better = abs(now.value) > abs(entry.value) if entry.is_low_bad else abs(now.value) < abs(entry.value)
    return replace(entry, value=now.value) if is_better and not _is_near(now.value, entry.value, factor) else entry


def _rounded(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")
