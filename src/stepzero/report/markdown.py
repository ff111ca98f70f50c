"""The report as Markdown, for a comment or a job summary. Nothing in a name is read as markup."""

import re

from stepzero.core.finding import Finding
from stepzero.core.outcome import LayerRow, Report
from stepzero.report import numbers, suppressed
from stepzero.report.causes import descendants, ordered_roots, places
from stepzero.report.collapse import Gap, collapse
from stepzero.report.style import Paint, clean
from stepzero.report.table import COLUMNS, severities
from stepzero.report.text import summary

LABEL = {"error": "Error", "warning": "Warning", "info": "Note"}
ROWS = 60
"""Layers up to which none is hidden."""
MOST = 200
"""Root causes told; a job summary holds a megabyte."""


def render(report: Report) -> str:
    """Return the whole report; ends in a newline."""
    lines = [f"## stepzero: {code(report.model)}", "", f"{escape(summary(report, 100, Paint(color=False)))}", ""]
    incomplete = [escape(f"{entry.what}: {entry.why}") for entry in report.coverage.incomplete]
    lines += [*(f"- **Incomplete, no verdict**: {why}" for why in incomplete), ""] if incomplete else []
    roots = ordered_roots(report)
    for finding in roots[:MOST]:
        lines += _finding(report, finding)
    if len(roots) > MOST:
        lines.append(f"- and {numbers.count(len(roots) - MOST, 'more finding')}")
    if not roots:
        lines.append("No finding.")
    lines += ["", *_suppressed(report), *_layers(report), *_conditions(report)]
    return "\n".join(lines).rstrip() + "\n"


def _finding(report: Report, finding: Finding) -> list[str]:
    line = f" ({code(finding.source_line)})" if finding.source_line else ""
    where = ", ".join(code(place or "(the model)") for place in finding.where[:3])
    more = f" and {len(finding.where) - 3} more" if len(finding.where) > 3 else ""
    head = f"- **{LABEL[finding.severity]} {finding.code} {finding.name}** {where}{more}{line}"
    lines = [f"{head}: {escape(clean(finding.message))}"]
    if finding.fix:
        lines.append(f"  - fix: {escape(clean(finding.fix.title))} ({'safe' if finding.fix.is_safe else 'unsafe'})")
    lines += [
        f"  - causes {each.severity} {each.code} {each.name} {code(places(each.where))}: {escape(clean(each.message))}"
        for each in descendants(report, finding)
    ]
    return lines


def _suppressed(report: Report) -> list[str]:
    lines = [f"- {escape(line.strip())}" for line in suppressed.lines(report, 10_000)]
    return ["**Suppressed**", "", *lines, ""] if lines else []


def _layers(report: Report) -> list[str]:
    if not report.layers:
        return []
    shown = collapse(report.layers, severities(report), short=ROWS)
    rows = [item for item in shown if isinstance(item, LayerRow)]
    columns = [column for column in COLUMNS if any(column.text(row) != "-" for row in rows)]
    lines = [_row([column.title for column in columns]), _row(["---"] * len(columns))]
    for item in shown:
        if isinstance(item, Gap):
            lines.append(_row([f"... {len(item.rows)} more", *[""] * (len(columns) - 1)]))
        else:
            first, *rest = (column.text(item) for column in columns)
            lines.append(_row([code(first), *map(escape, rest)]))
    return ["<details><summary>By layer</summary>", "", *lines, "", "</details>", ""]


def _row(texts: list[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"


def _conditions(report: Report) -> list[str]:
    texts = [*([report.loss_note] if report.loss_note else []), *report.conditions]
    return [f"- {escape(clean(text))}" for text in dict.fromkeys(texts)]


def code(text: str) -> str:
    """A code span around ``text``, whatever backticks it holds."""
    inner = clean(text)
    longest = max((len(run) for run in re.findall(r"`+", inner)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if inner.startswith("`") or inner.endswith("`") else ""
    return f"{fence}{pad}{inner}{pad}{fence}"


def escape(text: str) -> str:
    """Escape what Markdown or HTML would read as markup."""
    marked = re.sub(r"([\\`*_\[\]<>#~$])", r"\\\1", text.replace("&", "&amp;"))
    return marked.replace("@", "@\u200b")  # no name in a model calls somebody
