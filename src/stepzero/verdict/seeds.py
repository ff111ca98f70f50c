"""Several seeds of one factory: what each finding does over them, and what is left of a verdict that flips."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from stepzero.core.finding import RANK, Finding, Severity
from stepzero.core.outcome import Report
from stepzero.core.spread import SeedsFact, Spread


def spread(reports: Sequence[Report]) -> SeedsFact:
    """What every finding of any report does in all of them, by code and place, the first report's first.

    Two findings are the same trouble when they are of one code and share a place: which layers one names varies.
    """
    spreads: list[Spread] = []
    for report in reports:
        for finding in report.findings:
            if not any(_is_same(finding, known.code, known.where) for known in spreads):
                spreads.append(_spread(finding, reports))
    return SeedsFact(tuple(report.seed for report in reports), tuple(spreads))


def _spread(finding: Finding, reports: Sequence[Report]) -> Spread:
    found = [_worst(finding, report.findings) for report in reports]
    return Spread(
        finding.code,
        finding.name,
        finding.where,
        tuple(each.severity if each else None for each in found),
        tuple(each.value if each else None for each in found),
    )


def _worst(finding: Finding, others: Iterable[Finding]) -> Finding | None:
    same = [other for other in others if _is_same(other, finding.code, finding.where)]
    return min(same, key=lambda other: RANK[other.severity], default=None)


def _is_same(finding: Finding, code: str, where: tuple[str, ...]) -> bool:
    return finding.code == code and (bool(set(finding.where) & set(where)) or finding.where == where)


def agreed(findings: Sequence[Finding], fact: SeedsFact) -> tuple[Finding, ...]:
    """Make each finding that flips as loud as the mildest seed says, wherever that has it.

    A consequence that stays louder than its root has become counts by itself.
    """
    lowered = [_lowered(finding, fact) for finding in findings]
    severities = {finding.id: finding.severity for finding in lowered}
    return tuple(
        replace(finding, root=None)
        if finding.root in severities and RANK[finding.severity] < RANK[severities[finding.root]]
        else finding
        for finding in lowered
    )


def _lowered(finding: Finding, fact: SeedsFact) -> Finding:
    for known in fact.flipping:
        if _is_same(finding, known.code, known.where) and _flips(finding, fact):
            return replace(finding, severity=_mildest(known.mildest, finding.severity))
    return finding


def _flips(finding: Finding, fact: SeedsFact) -> bool:
    return any(known.flips and _is_same(finding, known.code, known.where) for known in fact.spreads)


def _mildest(agreed_on: Severity | None, said: Severity) -> Severity:
    return max(agreed_on or "info", said, key=lambda severity: RANK[severity])
