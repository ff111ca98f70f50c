"""The report as JUnit XML: one test case a root cause, and one a rule that found nothing."""

import xml.etree.ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from stepzero import rules
from stepzero.core.finding import RANK, Finding
from stepzero.core.outcome import Report
from stepzero.report.causes import descendants, ordered_roots, places
from stepzero.report.style import clean


def render(report: Report, *, fail_on: str = "error") -> str:
    """Return one document that ends in a newline; findings at or above ``fail_on`` are failures.

    What is incomplete is an error, what was not judged or is suppressed is skipped: the counts and the exit code agree.
    """
    gate = {"error": RANK["error"], "warning": RANK["warning"], "never": -1}[fail_on]
    suite = Element("testsuite", name=_xml(f"stepzero {report.model}"))
    for entry in report.coverage.incomplete:
        _case(suite, report, entry.what, "error", entry.why)
    roots = ordered_roots(report)
    for finding in roots:
        loud = RANK[finding.severity] <= gate
        _case(suite, report, _name(finding), "failure" if loud else "system-out", _text(report, finding))
    for each in report.suppressed:
        _case(suite, report, _name(each.finding), "skipped", f"suppressed by {each.by} {each.reason}".rstrip())
    for entry in report.coverage.not_judged:
        _case(suite, report, entry.what, "skipped", f"not judged: {entry.why}")
    said = {each.finding.code for each in report.suppressed} | {finding.code for finding in roots}
    said |= {entry.what.partition(" ")[0] for entry in report.coverage.not_judged}
    names = rules.names()
    for code in report.coverage.rules_run:
        if code not in said:
            _case(suite, report, f"{code} {names.get(code, '')}".rstrip())
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite)))
    document = Element("testsuites")
    document.append(suite)
    ET.indent(document)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(document, encoding="unicode")}\n'


def _case(suite: Element, report: Report, name: str, kind: str = "", text: str = "") -> None:
    case = SubElement(suite, "testcase", classname=_xml(report.model), name=_xml(name))
    if not kind:
        return
    if kind == "system-out":
        SubElement(case, kind).text = _xml(text)
        return
    first = text.partition("\n")[0]
    SubElement(case, kind, message=_xml(first)).text = _xml(text) if kind != "skipped" else None


def _name(finding: Finding) -> str:
    return f"{finding.code} {finding.name} {places(finding.where)}".rstrip()


def _text(report: Report, finding: Finding) -> str:
    lines = [f"{finding.severity}: {clean(finding.message)}"]
    lines += [f"at {finding.source_line}"] if finding.source_line else []
    lines += [f"fix: {clean(finding.fix.title)}"] if finding.fix else []
    lines += [f"causes {each.code} {each.name} {places(each.where)}" for each in descendants(report, finding)]
    return "\n".join(lines)


def _xml(text: str) -> str:
    """Without characters that XML 1.0 has no way to write."""
    return "".join(character if character in "\n\t" or ord(character) >= 32 else "?" for character in text)
