"""The report as text: worst root cause first, what follows from it under it, the table by layer, one summary line."""

from collections.abc import Iterable

from stepzero.core.outcome import NotChecked, Report
from stepzero.report import accepted, causes, numbers, suppressed
from stepzero.report.style import Paint, clean, wrap
from stepzero.report.table import WIDE, layers

NARROWEST = 40
"""Columns below which lines run over rather than being wrapped word by word."""
TALL = 40
"""Lines beyond which the worst root cause is named again at the end, where a terminal stops scrolling."""


def render(report: Report, *, width: int = 100, color: bool = False, verbose: bool = False) -> str:
    """Render ``report`` for ``width`` columns; ends in a newline.

    ``color`` adds terminal colour, ``verbose`` tells every finding and every layer in full.
    """
    width = max(width, NARROWEST)
    paint = Paint(color)
    lines = [*_title(report, width, paint), ""]
    lines += _incomplete(report, width, paint)
    lines += causes.root_causes(report, width, paint, verbose=verbose) or [*_nothing_found(report, width, paint), ""]
    lines += _section("Notes", causes.notes(report, width, verbose=verbose), paint)
    lines += _section("Accepted idioms", accepted.lines(report, width, verbose=verbose), paint)
    lines += _section("Suppressed", suppressed.lines(report, width, verbose=verbose), paint)
    lines += _section("By layer", layers(report, width, paint, verbose=verbose), paint)
    lines += _section("How it was measured", _conditions(report, width), paint)
    lines += _section("Not judged", _not_judged(report, width, verbose=verbose), paint)
    if len(lines) > TALL:
        lines += _worst(report, paint)
    return "\n".join([*lines, summary(report, width, paint)]) + "\n"


def _title(report: Report, width: int, paint: Paint) -> list[str]:
    facts = [numbers.count(report.num_parameters, "parameter")]
    facts.append(numbers.count(report.coverage.weighted_total, "weighted operation"))
    if report.loss is not None:
        facts.append(f"loss {numbers.number(report.loss)}")
    first, *rest = wrap(f"{clean(report.model)}  {', '.join(facts)}", width, "  ", first="")
    return [paint(first, "bold"), *rest]


def _incomplete(report: Report, width: int, paint: Paint) -> list[str]:
    """The reasons why this report is no verdict, above everything else."""
    if report.is_complete:
        return []
    first, *lines = wrap("INCOMPLETE  this is not a verdict: part of the check could not be done", width, "    ", "")
    lines = [first.replace("INCOMPLETE", paint("INCOMPLETE", "warning"), 1), *lines]
    for reason in report.coverage.incomplete:
        lines += wrap(_reason(reason), width, "    ", first="  - ")
    return [*lines, ""]


def _nothing_found(report: Report, width: int, paint: Paint) -> list[str]:
    """What was looked at without finding an error or a warning."""
    coverage = report.coverage
    looked = (
        f"{numbers.count(len(coverage.rules_run), 'rule')} looked at "
        f"{numbers.part(coverage.weighted_checked, coverage.weighted_total, 'weighted operation')} and "
        f"{numbers.part(coverage.parameters_checked, coverage.parameters_total, 'parameter tensor')} "
        "and reported no error and no warning"
    )
    if not report.is_complete:
        return wrap(f"Nothing found in the part that was checked: {looked}", width)
    head, role = "NO FAULT FOUND", "good"
    if any(finding.code == "SZ908" for finding in report.findings):
        head, role = "NO FAULT UNDER EVERY SEED", "warning"
        looked += "; some seeds disagree, see the notes"
    first, *rest = wrap(f"{head}  {looked}", width)
    return [first.replace(head, paint(head, role), 1), *rest]


def _section(title: str, lines: list[str], paint: Paint) -> list[str]:
    return [paint(title, "bold"), *lines, ""] if lines else []


def _conditions(report: Report, width: int) -> list[str]:
    """The loss and how it came about, then every condition, one bullet each."""
    texts = [f"loss: {report.loss_note.removeprefix('loss: ')}"] if report.loss_note else []
    texts += [text for text in report.conditions if text != report.loss_note]
    return [line for text in texts for line in wrap(clean(text), width, "    ", first="  - ")]


def _not_judged(report: Report, width: int, *, verbose: bool) -> list[str]:
    lines: list[str] = []
    for why, what in _by_reason([*report.coverage.skipped, *report.coverage.not_judged]).items():
        named = causes.places(tuple(what), verbose=verbose)
        lines += wrap(f"{named}: {clean(why)}" if why else named, width, "    ", first="  - ")
    return lines


def _by_reason(entries: Iterable[NotChecked]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for entry in entries:
        reasons.setdefault(entry.why, []).append(entry.what)
    return reasons


def _reason(entry: NotChecked) -> str:
    return clean(f"{entry.what}: {entry.why}" if entry.why else entry.what)


def _worst(report: Report, paint: Paint) -> list[str]:
    """Name the worst root cause once more."""
    roots = causes.ordered_roots(report)
    if not roots or roots[0].severity == "info":
        return []
    worst = roots[0]
    place = causes.places(worst.where)
    return [f"Worst: {paint(worst.severity, worst.severity)} {worst.code} {worst.name}  {place} (at the top)"]


def summary(report: Report, width: int, paint: Paint) -> str:
    """One line: errors (root causes), warnings, notes, coverage, whether the model is untouched, the seed.

    It is never wrapped, so that the last line of a report always has all of it; below WIDE columns it is shortened.
    """
    checked, total = report.coverage.weighted_checked, report.coverage.weighted_total
    is_wide = width >= WIDE
    operations = f"{numbers.part(checked, total, 'weighted operation')} checked"
    parts = [
        _tally(report, paint, root="root cause" if is_wide else "root"),
        operations if is_wide else f"{checked:,}/{total:,} operations",
        _touched(report, paint, is_wide=is_wide),
        _seeds(report),
    ]
    return "; ".join(parts if report.is_complete else [paint("INCOMPLETE", "warning"), *parts])


def _seeds(report: Report) -> str:
    return f"seeds {report.seeds[0]} to {report.seeds[-1]}" if report.seeds else f"seed {report.seed}"


def _tally(report: Report, paint: Paint, *, root: str) -> str:
    """'2 errors (1 root cause), 1 warning, 0 notes, 3 suppressed'."""
    roots = sum(finding.severity == "error" for finding in causes.ordered_roots(report))
    errors = numbers.count(len(report.errors), "error")
    warnings = numbers.count(len(report.warnings), "warning")
    if report.errors:
        errors = paint(f"{errors} ({numbers.count(roots, root)})", "error")
    if report.warnings:
        warnings = paint(warnings, "warning")
    hidden = [f"{len(report.suppressed):,} suppressed"] if report.suppressed else []
    return ", ".join([errors, warnings, numbers.count(len(report.notes), "note"), *hidden])


def _touched(report: Report, paint: Paint, *, is_wide: bool) -> str:
    if not report.is_unchanged:
        return paint("MODEL WAS CHANGED", "error")
    return "model left unchanged" if is_wide else "model unchanged"
