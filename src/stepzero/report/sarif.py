"""The report as SARIF 2.1.0 (OASIS), for code hosts and editors.

One result a root cause: what follows from it stands in its message, so that one zero layer is one alert. Every result
has a physical location with a path relative to the working directory. Suppressed findings are no results, since GitHub
shows such results as open alerts whatever their `suppressions` say; the properties of the run list them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stepzero import rules
from stepzero.core.finding import Finding
from stepzero.core.outcome import NotChecked, Report
from stepzero.core.suppression import Suppressed
from stepzero.core.version import VERSION
from stepzero.report.causes import descendants, ordered_roots, places, sentence
from stepzero.report.places import place
from stepzero.report.style import clean

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVEL = {"error": "error", "warning": "warning", "info": "note"}


def render(report: Report, root: Path | None = None) -> str:
    """Return one SARIF log that ends in a newline; ``root`` is what paths are relative to, else the working folder."""
    base = root or Path.cwd()
    results = [_result(report, finding, base) for finding in ordered_roots(report)]
    codes = sorted({result["ruleId"] for result in results})
    for result in results:
        result["ruleIndex"] = codes.index(result["ruleId"])
    run = {
        "tool": {
            "driver": {"name": "stepzero", "semanticVersion": VERSION, "rules": [_rule(code) for code in codes]},
        },
        "automationDetails": {"id": f"stepzero/{report.model}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report)],
        "results": results,
        "properties": {"suppressed": [_hidden(each) for each in report.suppressed]},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(report: Report, finding: Finding, root: Path) -> dict[str, Any]:
    path, line = place(report, finding, root)
    return {
        "ruleId": finding.code,
        "level": LEVEL[finding.severity],
        "message": {"text": _message(report, finding)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(path), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": line},
                },
                "logicalLocations": [
                    {"fullyQualifiedName": where or "(the model)", "kind": "member"} for where in finding.where or ("",)
                ],
            }
        ],
        "partialFingerprints": {"stepzero/v1": hashlib.sha256(finding.id.encode()).hexdigest()[:32]},
    }


def _message(report: Report, finding: Finding) -> str:
    parts = [f"{sentence(finding)}."]
    if finding.fix:
        parts.append(f"Fix: {clean(finding.fix.title)}.")
    under = descendants(report, finding)
    if under:
        named = ", ".join(f"{each.code} {each.name} at {places(each.where) or 'the model'}" for each in under[:5])
        more = f" and {len(under) - 5} more" if len(under) > 5 else ""
        parts.append(f"It causes {named}{more}.")
    return " ".join(parts)


def _hidden(each: Suppressed) -> dict[str, str]:
    return {"id": each.finding.id, "level": LEVEL[each.finding.severity], "by": each.by, "reason": each.reason}


def _rule(code: str) -> dict[str, Any]:
    names = rules.names()
    if code not in names:  # of a report that another version wrote
        return {"id": code}
    rule = rules.load(code)
    page = "\n\n".join([rule.lead, *(f"{heading}\n{text}" for heading, text in rule.sections.items())])
    return {
        "id": code,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "help": {"text": page},
        "properties": {"tags": ["initialization"]},
    }


def _invocation(report: Report) -> dict[str, Any]:
    notes = [{"level": "error", "message": {"text": _reason(entry)}} for entry in report.coverage.incomplete]
    told: dict[str, Any] = {"executionSuccessful": report.is_complete}
    return {**told, "toolExecutionNotifications": notes} if notes else told


def _reason(entry: NotChecked) -> str:
    return clean(f"incomplete: {entry.what}: {entry.why}")
