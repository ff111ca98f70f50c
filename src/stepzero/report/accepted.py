"""Accepted idioms as text: what looks like a fault and is none, grouped by kind."""

from collections import Counter

from stepzero.core.outcome import Accepted, Report
from stepzero.report import causes, numbers
from stepzero.report.style import clean, wrap

MOST_LINES = 6
"""Lines the idioms take at most; what does not fit is counted."""


def lines(report: Report, width: int, *, verbose: bool) -> list[str]:
    """One entry a kind, the most frequent first: its name, how many places, the first of them, and why it is fine."""
    groups: dict[tuple[str, ...], list[Accepted]] = {}
    for each in report.coverage.accepted:
        groups.setdefault((each.idiom, each.why) if verbose else (each.idiom,), []).append(each)
    told = sorted(groups.values(), key=lambda group: -len(group))
    found: list[str] = []
    for index, group in enumerate(told):
        entry = wrap(_entry(group, verbose=verbose), width, "    ", first="  ")
        room = MOST_LINES - (index < len(told) - 1)
        if not verbose and len(found) + len(entry) > room:
            return [*found, *wrap(_rest(told[index:]), width, "    ", first="  ")]
        found += entry
    return found


def _entry(group: list[Accepted], *, verbose: bool) -> str:
    """'identity branch x 12  blocks.0.ada.weight and 11 more: what it does, and when it moves'."""
    reason = Counter(each.why for each in group).most_common(1)[0][0]
    first = next(each for each in group if each.why == reason)
    if verbose or len(group) == 1:
        named = causes.places(tuple(place for each in group for place in each.where), verbose=verbose)
    else:
        named = f"{clean(first.where[0])} and {len(group) - 1:,} more"
    count = f" x {len(group):,}" if len(group) > 1 else ""
    return f"{first.idiom}{count}  {named}: {clean(reason)}"


def _rest(groups: list[list[Accepted]]) -> str:
    kinds = ", ".join(f"{group[0].idiom} x {len(group):,}" for group in groups)
    return f"and {numbers.count(len(groups), 'more kind')}: {kinds} (-v tells each)"
