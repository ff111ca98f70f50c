"""What counts in the end: suppressions, the baseline and the seeds, and the rules that judge these.

Such a rule needs ``suppressions`` or ``seeds``, a record that is on the Trace only when the others have judged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stepzero.api.asked import Asked
from stepzero.core.finding import RANK, Finding
from stepzero.core.outcome import NotChecked, Report
from stepzero.core.rule import NotJudged
from stepzero.core.suppression import Suppressed
from stepzero.core.trace import Trace
from stepzero.rules import selection
from stepzero.rules.causes import as_loud
from stepzero.verdict import baseline as baselines
from stepzero.verdict import seeds as over
from stepzero.verdict.suppress import Outcome, followed, of_comments, suppress


@dataclass(frozen=True, slots=True)
class Settled:
    """Findings that count, findings that do not, and rules that failed meanwhile."""

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...] = ()
    crashed: tuple[NotChecked, ...] = ()


def settle(observed: Trace, explained: Sequence[Finding], asked: Asked) -> Settled:
    """Take off what is suppressed and what the baseline knows; then judge the suppressions themselves."""
    suppressions = (*asked.suppressions, *of_comments(observed, selection.codes))
    outcome = suppress(explained, suppressions, observed, (rule.code for rule in asked.counted))
    outcome = _without_known(outcome, as_loud(explained), asked)
    notes, crashed = _late("suppressions", replace(observed, suppressions=outcome.facts), asked)
    return Settled(
        (*as_loud(outcome.kept), *notes),
        tuple(sorted(outcome.suppressed, key=lambda each: _order(each.finding))),
        crashed,
    )


def _without_known(outcome: Outcome, loud: Sequence[Finding], asked: Asked) -> Outcome:
    if asked.baseline is None:
        return outcome
    severities = {finding.id: finding.severity for finding in loud}
    kept: list[Finding] = []
    for finding in outcome.kept:
        why = baselines.known(finding, severities[finding.id], asked.baseline)
        if why is None:
            kept.append(finding)
        else:
            outcome.suppressed.append(Suppressed(finding, f"baseline {asked.baseline.name}", why))
    return followed(replace(outcome, kept=kept))


def over_seeds(observed: Trace, reports: Sequence[Report], asked: Asked) -> Report:
    """The first report, with the spread over all of them; a verdict that flips is lowered to what all agree on."""
    first = reports[0]
    if len(reports) == 1:
        return first
    fact = over.spread(reports)
    notes, crashed = _late("seeds", replace(observed, seeds=fact), asked)
    reasons = [reason for report in reports[1:] for reason in report.coverage.incomplete]
    reasons = [reason for reason in dict.fromkeys([*reasons, *crashed]) if reason not in first.coverage.incomplete]
    return replace(
        first,
        findings=in_order((*over.agreed(first.findings, fact), *notes)),
        coverage=replace(first.coverage, incomplete=(*first.coverage.incomplete, *reasons)),
        seeds=fact.seeds,
        spread=fact.spreads,
    )


def _late(need: str, observed: Trace, asked: Asked) -> tuple[list[Finding], tuple[NotChecked, ...]]:
    """Ask the rules that need ``need``; as for every rule, a crash is never the user's problem."""
    found: list[Finding] = []
    crashed: list[NotChecked] = []
    for rule in asked.late(need):
        try:
            said = list(rule.judge(observed, asked.limits))
        except Exception as error:  # noqa: BLE001 - see above
            why = " ".join(f"the rule crashed: {type(error).__name__}: {error}".split())
            crashed.append(NotChecked(f"{rule.code} {rule.name}", why))
            continue
        found += [each for each in said if not isinstance(each, NotJudged)]
    return found, tuple(crashed)


def with_baseline_told(report: Report, asked: Asked) -> Report:
    """Say in the report how many findings the baseline hid, and which of its entries are stale."""
    if asked.baseline is None:
        return report
    by = f"baseline {asked.baseline.name}"
    hidden = sum(each.by == by for each in report.suppressed)
    stale = baselines.stale(report, asked.baseline)
    told = f"{by}: {hidden} of its {len(asked.baseline.entries)} entries found again"
    if stale:
        named = ", ".join(f"{entry.code} {entry.place or 'the model'}" for entry in stale[:3])
        more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
        told += f"; {len(stale)} stale ({named}{more}): `stepzero baseline prune` drops them"
    return replace(report, conditions=(*report.conditions, told))


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first, then by code and place."""
    return tuple(sorted(findings, key=_order))


def _order(finding: Finding) -> tuple[int, str, tuple[str, ...]]:
    return RANK[finding.severity], finding.code, finding.where
