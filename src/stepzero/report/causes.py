"""Findings as text: each root cause with its sentence and its fix, and what follows from it hanging under it."""

from collections.abc import Sequence

from stepzero.core.finding import RANK, Finding
from stepzero.core.outcome import Report
from stepzero.report import numbers
from stepzero.report.style import Paint, Piece, cells, clean, flow, pad, wrap

LABEL = {"error": "ERROR", "warning": "WARNING", "info": "NOTE"}
GUTTER = " " * 9
"""Room for the longest label, so that everything said about a finding starts in one column."""
FULL_PER_CODE = 3
"""Root causes of one code told in full; the rest are named in one line."""
MOST_CONSEQUENCES = 6
"""Consequences of one root cause told; the rest are counted."""
MOST_PLACES = 3
"""Places of one finding named; the rest are counted."""


def ordered_roots(report: Report) -> list[Finding]:
    """Root causes worst first; findings whose cause is not in the report (suppressed, or a loop) count as roots too."""
    seen: set[int] = set()
    roots = sorted(report.root_causes, key=lambda finding: RANK[finding.severity])
    for root in roots:
        _mark_tree(report, root, seen)
    for finding in sorted(report.findings, key=lambda finding: RANK[finding.severity]):
        if id(finding) not in seen:
            roots.append(finding)
            _mark_tree(report, finding, seen)
    return sorted(roots, key=lambda finding: RANK[finding.severity])


def _mark_tree(report: Report, finding: Finding, seen: set[int]) -> None:
    if id(finding) not in seen:
        seen.add(id(finding))
        for other in report.consequences(finding):
            _mark_tree(report, other, seen)


def root_causes(report: Report, width: int, paint: Paint, *, verbose: bool) -> list[str]:
    """Blocks of lines for errors and warnings, worst first, each followed by an empty line."""
    loud = [finding for finding in ordered_roots(report) if finding.severity != "info"]
    told, crowds = _split(loud, FULL_PER_CODE if not verbose else len(loud))
    is_one_line = all(_one_line(finding) <= width for finding in told)
    lines: list[str] = []
    for finding in told:
        lines += _sentence(finding, width, paint, is_one_line=is_one_line, verbose=verbose)
        lines += _details(report, finding, width, paint, verbose=verbose)
        lines += [*_consequences(report, finding, width, paint, verbose=verbose), ""]
    for crowd in crowds:
        lines += [*_crowd(crowd, width, paint), ""]
    return lines


def _split(findings: Sequence[Finding], most: int) -> tuple[list[Finding], list[list[Finding]]]:
    """Part ``findings`` into those told in full, ``most`` of each code and severity, and the crowds of the others."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.code), []).append(finding)
    full = {id(finding) for group in groups.values() for finding in group[:most]}
    crowds = [group[most:] for group in groups.values() if group[most:]]
    return [finding for finding in findings if id(finding) in full], crowds


def _one_line(finding: Finding) -> int:
    """Columns that place and sentence take together."""
    head = sum(len(gap) + cells(text) for gap, text, _ in _head(finding, verbose=False))
    return len(GUTTER) + head + 2 + cells(clean(finding.message))


def _sentence(finding: Finding, width: int, paint: Paint, *, is_one_line: bool, verbose: bool) -> list[str]:
    """Severity, code, place, source line and the sentence: on one line when every finding of the report fits on one."""
    label = paint(pad(LABEL[finding.severity], len(GUTTER)), finding.severity)
    message = clean(finding.message)
    first, *rest = flow(_head(finding, verbose=verbose), width - len(GUTTER), paint)
    if is_one_line:
        return [f"{label}{first}  {paint(message, 'bold')}"]
    sentence = (paint(line.strip(), "bold") for line in wrap(message, width, GUTTER))
    return [label + first, *(GUTTER + line for line in (*rest, *sentence))]


def _head(finding: Finding, *, verbose: bool) -> list[Piece]:
    """Code, name, places and source line as pieces between which a line may break."""
    pieces: list[Piece] = [("", finding.code, "code"), (" ", finding.name, "")]
    named = places(finding.where, verbose=verbose).split(" ")
    pieces += [("  " if index == 0 else " ", place, "place") for index, place in enumerate(named) if place]
    return [*pieces, ("  ", clean(finding.source_line), "")] if finding.source_line else pieces


def places(where: tuple[str, ...], *, verbose: bool = False) -> str:
    """Paths joined by commas, the model itself for an empty path, the rest counted beyond MOST_PLACES."""
    names = [clean(place) or "(the model)" for place in where]
    if verbose or len(names) <= MOST_PLACES:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_PLACES])} and {len(names) - MOST_PLACES:,} more"


def _details(report: Report, finding: Finding, width: int, paint: Paint, *, verbose: bool) -> list[str]:
    facts: list[tuple[str, str]] = []
    if finding.fix:
        safety = "safe" if finding.fix.is_safe else "unsafe: your decision"
        facts.append(("fix", f"{clean(finding.fix.title)} ({safety})"))
    if verbose:
        facts += _evidence(finding)
    facts.append(("seeds", over_seeds(report, finding)))
    facts.append(("more", f"stepzero explain {finding.code}"))
    lines: list[str] = []
    for title, text in facts:
        if not text:
            continue
        first, *rest = wrap(text, width, GUTTER + " " * 6)
        lines += [GUTTER + paint(pad(title, 6), "dim") + first.strip(), *rest]
    return lines


def over_seeds(report: Report, finding: Finding) -> str:
    """'found under 4 of 5 seeds, with numbers from 0.21 to 0.35'; '' when one seed was tried."""
    same = [each for each in report.spread if each.code == finding.code and set(each.where) & set(finding.where)]
    if not same:
        return ""
    values = [value for value in same[0].values if value is not None]
    low, high = numbers.number(min(values, default=None)), numbers.number(max(values, default=None))
    between = f", with numbers from {low} to {high}" if low != high else ""
    return f"found under {same[0].num_found} of {len(report.seeds)} seeds{between}"


def _evidence(finding: Finding) -> list[tuple[str, str]]:
    facts = [("proof", finding.evidence), ("cause", finding.cause), ("from", clean(finding.citation))]
    if finding.value is not None:
        limit = f", limit {numbers.number(finding.limit)}" if finding.limit is not None else ""
        facts.insert(0, ("value", f"{numbers.number(finding.value)}{limit} {finding.unit}".rstrip()))
    return [(title, text) for title, text in facts if text]


def _consequences(report: Report, root: Finding, width: int, paint: Paint, *, verbose: bool) -> list[str]:
    """What follows from ``root``, at any remove, as a flat list hanging under it, worst first."""
    found = descendants(report, root)
    if not found:
        return []
    shown = found if verbose else found[:MOST_CONSEQUENCES]
    entries = [_consequence(finding, verbose=verbose) for finding in shown]
    hidden = found[len(shown) :]
    if hidden:
        entries.append((None, f"... {numbers.count(len(hidden), 'more consequence')} ({_tally(hidden)})"))
    lines = [GUTTER + paint("which causes", "dim")]
    for index, (severity, text) in enumerate(entries):
        hook, stem = ("└─ ", "   ") if index == len(entries) - 1 else ("├─ ", "│  ")
        first, *rest = wrap(text, width, GUTTER + stem, first=GUTTER + hook)
        lines += [_colored(first, severity, paint), *rest]
    return lines


def sentence(finding: Finding) -> str:
    """Places and what is said of them, on one line; the place once when the sentence begins with it."""
    where, message = places(finding.where), clean(finding.message)
    return message if not where or message.startswith(where) else f"{where}: {message}"


def descendants(report: Report, root: Finding) -> list[Finding]:
    """What follows from ``root``, at any remove, worst first."""
    return sorted(_descendants(report, root, {id(root)}), key=lambda finding: RANK[finding.severity])


def _descendants(report: Report, finding: Finding, seen: set[int]) -> list[Finding]:
    found: list[Finding] = []
    for other in report.consequences(finding):
        if id(other) not in seen:
            seen.add(id(other))
            found += [other, *_descendants(report, other, seen)]
    return found


def _consequence(finding: Finding, *, verbose: bool) -> tuple[str | None, str]:
    place = places(finding.where, verbose=verbose)
    text = f"{finding.severity} {finding.code} {finding.name}{'  ' if place else ''}{place}: {clean(finding.message)}"
    return finding.severity, text


def _colored(line: str, severity: str | None, paint: Paint) -> str:
    return line.replace(severity, paint(severity, severity), 1) if severity else line


def _crowd(findings: Sequence[Finding], width: int, paint: Paint) -> list[str]:
    """One block that names further root causes of one code."""
    first = findings[0]
    label = paint(pad(LABEL[first.severity], len(GUTTER)), first.severity)
    named = places(tuple(place for finding in findings for place in finding.where))
    text = f"{len(findings):,} more of {first.code} {first.name} at {named} (-v tells each)"
    head, *rest = wrap(text, width, GUTTER)
    return [label + head.strip(), *rest]


def notes(report: Report, width: int, *, verbose: bool) -> list[str]:
    """One line a code for findings of severity info that are root causes."""
    by_code: dict[str, list[Finding]] = {}
    for finding in ordered_roots(report):
        if finding.severity == "info":
            by_code.setdefault(finding.code if not verbose else finding.id, []).append(finding)
    lines: list[str] = []
    for findings in by_code.values():
        first = findings[0]
        named = places(tuple(place for finding in findings for place in finding.where), verbose=verbose)
        more = f" (the first of {len(findings):,})" if len(findings) > 1 else ""
        text = f"{first.code} {first.name}  {named}: {clean(first.message)}{more}"
        lines += wrap(text, width, "    ", first="  ")
    return lines


def _tally(findings: Sequence[Finding]) -> str:
    words = {"error": "error", "warning": "warning", "info": "note"}
    counts = {word: sum(finding.severity == severity for finding in findings) for severity, word in words.items()}
    return ", ".join(numbers.count(num, word) for word, num in counts.items() if num)
