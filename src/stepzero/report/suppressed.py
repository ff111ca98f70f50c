"""Suppressed findings as text: grouped by what suppressed them, with the reason."""

from stepzero.core.outcome import Report
from stepzero.core.suppression import Suppressed
from stepzero.report import numbers
from stepzero.report.causes import places
from stepzero.report.style import clean, wrap

FEW = 3
"""Findings of one group that are named; the rest are counted."""


def lines(report: Report, width: int, *, verbose: bool = False) -> list[str]:
    """One entry by origin and reason: how many, which, and why."""
    groups: dict[tuple[str, str], list[Suppressed]] = {}
    for each in report.suppressed:
        groups.setdefault((each.by, each.reason), []).append(each)
    return [
        line
        for (by, reason), group in groups.items()
        for line in wrap(_entry(by, reason, group, verbose=verbose), width, "    ", first="  ")
    ]


def _entry(by: str, reason: str, group: list[Suppressed], *, verbose: bool) -> str:
    shown = group if verbose else group[:FEW]
    named = [
        f"{each.finding.severity} {each.finding.code} {each.finding.name} {places(each.finding.where)}".rstrip()
        for each in shown
    ]
    more = [f"{len(group) - len(shown):,} more"] if len(group) > len(shown) else []
    why = f" ({clean(reason)})" if reason else ""
    return f"{numbers.count(len(group), 'finding')} by {clean(by)}{why}: {', '.join([*named, *more])}"
