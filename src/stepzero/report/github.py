"""The report as workflow commands of GitHub Actions: annotations beside the lines, worst first.

A step shows ten annotations of a kind, so ten root causes are annotated; the rest are told as plain lines, or in the
job summary when there is one.
"""

from pathlib import Path

from stepzero.core.finding import Finding
from stepzero.core.outcome import Report
from stepzero.report import numbers
from stepzero.report.causes import descendants, ordered_roots, sentence
from stepzero.report.places import place
from stepzero.report.style import Paint, clean
from stepzero.report.text import summary

MOST = 10
"""Annotations of one step that are shown."""
COMMAND = {"error": "error", "warning": "warning", "info": "notice"}


def render(report: Report, *, has_summary: bool = False, root: Path | None = None) -> str:
    """One line an annotation, then the summary line; ``has_summary`` says that the full list stands elsewhere."""
    base = root or Path.cwd()
    lines = [_command("error", {}, f"INCOMPLETE: {each.what}: {each.why}") for each in report.coverage.incomplete][:1]
    roots = ordered_roots(report)
    room = MOST - len(lines)
    lines += [_annotation(report, finding, base) for finding in roots[:room]]
    rest = roots[room:]
    if rest and has_summary:
        lines.append(f"{numbers.count(len(rest), 'more finding')}: the job summary has all of them")
    elif rest:
        lines += [_plain(finding) for finding in rest]
    return "\n".join([*lines, summary(report, 100, Paint(color=False))]) + "\n"


def _annotation(report: Report, finding: Finding, root: Path) -> str:
    path, line = place(report, finding, root)
    follow = len(descendants(report, finding))
    text = sentence(finding)
    text += f"\nfix: {clean(finding.fix.title)}" if finding.fix else ""
    text += f"\nwhich causes {numbers.count(follow, 'more finding')}" if follow else ""
    title = f"{finding.code} {finding.name}"
    return _command(COMMAND[finding.severity], {"file": path, "line": str(line), "title": title}, text)


def _command(name: str, properties: dict[str, str], text: str) -> str:
    told = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{name}{' ' if told else ''}{told}::{_escaped(text)}"


def _escaped(text: str, more: str = "") -> str:
    """Percent-encode what would end the line or, in a property, the property."""
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _plain(finding: Finding) -> str:
    return f"{finding.severity} {finding.code} {finding.name}  {sentence(finding)}"
