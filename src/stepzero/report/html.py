"""The report as one page of HTML that needs nothing else, and as a fragment for notebooks.

Every text goes through the template's autoescape; there is no script, and nothing is fetched.
"""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stepzero.core.finding import Finding
from stepzero.core.outcome import LayerRow, Report
from stepzero.report import causes, numbers, suppressed
from stepzero.report.collapse import Gap, collapse
from stepzero.report.profile import profile
from stepzero.report.style import Paint, clean
from stepzero.report.table import COLUMNS, severities
from stepzero.report.text import summary

ROWS = 400
"""Rows of the table by layer up to which nothing is hidden: with them a page stays far below a megabyte."""
MOST = 300
"""Findings told in full; the rest are counted."""
UNDER = 50
"""Consequences of one root cause told."""
LABEL = {"error": "Error", "warning": "Warning", "info": "Note"}


def render(report: Report) -> str:
    """Return a whole document that ends in a newline."""
    return str(_template("page.html.j2").render(**_facts(report))) + "\n"


def fragment(report: Report) -> str:
    """Return the same without the document around it; its style touches nothing else on a page."""
    return str(_template("report.html.j2").render(**_facts(report)))


@cache
def _template(name: str) -> Any:
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


def _facts(report: Report) -> dict[str, Any]:
    roots = causes.ordered_roots(report)
    loud = [finding for finding in roots if finding.severity != "info"]
    notes = [finding for finding in roots if finding.severity == "info"]
    return {
        "title": clean(report.model),
        "verdict": _verdict(report, loud),
        "counts": _counts(report, roots),
        "summary": summary(report, 100, Paint(color=False)),
        "parameters": numbers.count(report.num_parameters, "parameter"),
        "loss": None if report.loss is None else numbers.number(report.loss),
        "incomplete": [clean(f"{entry.what}: {entry.why}") for entry in report.coverage.incomplete],
        "findings": [_card(report, finding) for finding in loud[:MOST]],
        "notes": [_card(report, finding) for finding in notes[:MOST]],
        "more": max(0, len(loud) - MOST) + max(0, len(notes) - MOST),
        "suppressed": [line.strip() for line in suppressed.lines(report, 10_000)],
        "accepted": [(each.idiom, _joined(each.where), clean(each.why)) for each in report.coverage.accepted[:MOST]],
        "table": _table(report),
        "profile": profile(report.layers, _loud(severities(report))),
        "conditions": _conditions(report),
        "unjudged": [
            clean(f"{entry.what}: {entry.why}") for entry in (*report.coverage.skipped, *report.coverage.not_judged)
        ],
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }


def _loud(marks: dict[int, str]) -> dict[int, str]:
    return {operation: severity for operation, severity in marks.items() if severity != "info"}


def _verdict(report: Report, loud: list[Finding]) -> tuple[str, str]:
    """A class and a sentence."""
    if loud:
        worst = loud[0]
        causes_ = numbers.count(len(loud), "root cause")
        return worst.severity, f"{causes_}, the worst is {worst.code} {worst.name}"
    if not report.is_complete:
        return "warning", "Incomplete: this is no verdict"
    if any(finding.code == "SZ908" for finding in report.findings):
        return "warning", "No fault under every seed; some seeds disagree"
    return "good", "No fault found"


def _counts(report: Report, roots: list[Finding]) -> list[tuple[str, str, int]]:
    """Class, word and number of root causes by severity."""
    counts = []
    for severity, word in (("error", "error"), ("warning", "warning"), ("info", "note")):
        number = sum(root.severity == severity for root in roots)
        counts.append((severity, word if number == 1 else f"{word}s", number))
    return [*counts, ("quiet", "suppressed", len(report.suppressed))]


def _card(report: Report, finding: Finding) -> dict[str, Any]:
    under = causes.descendants(report, finding)
    limit = "" if finding.limit is None else f", limit {numbers.number(finding.limit)}"
    return {
        "severity": finding.severity,
        "label": LABEL[finding.severity],
        "code": finding.code,
        "name": finding.name,
        "where": _joined(finding.where),
        "line": clean(finding.source_line or ""),
        "message": clean(finding.message),
        "number": "" if finding.value is None else f"{numbers.number(finding.value)}{limit} {finding.unit}".rstrip(),
        "seeds": causes.over_seeds(report, finding),
        "fix": clean(finding.fix.title) if finding.fix else "",
        "is_safe": bool(finding.fix and finding.fix.is_safe),
        "citation": clean(finding.citation),
        "under": [
            (each.severity, each.code, each.name, _joined(each.where), clean(each.message)) for each in under[:UNDER]
        ],
        "hidden": max(0, len(under) - UNDER),
    }


def _joined(where: tuple[str, ...]) -> str:
    return causes.places(where)


def _table(report: Report) -> dict[str, Any]:
    marks = severities(report)
    shown = collapse(report.layers, marks, short=ROWS)
    rows = [item for item in shown if isinstance(item, LayerRow)]
    columns = [column for column in COLUMNS if any(column.text(row) != "-" for row in rows)]
    return {
        "heads": [(column.title, column.legend, column.is_text) for column in columns],
        "rows": [
            ("gap", f"... {len(item.rows):,} more layers like these", [])
            if isinstance(item, Gap)
            else (marks.get(item.operation, ""), "", [(column.text(item), column.is_text) for column in columns])
            for item in shown
        ],
        "width": len(columns),
    }


def _conditions(report: Report) -> list[str]:
    texts = [*([report.loss_note] if report.loss_note else []), *report.conditions]
    return [clean(text) for text in dict.fromkeys(texts)]
