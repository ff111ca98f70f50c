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
from stepzero.rules.causes import Vanished, as_loud, explained
from stepzero.verdict import baseline as baselines
from stepzero.verdict import seeds as over
from stepzero.verdict.suppress import Outcome, followed, of_comments, suppress


@dataclass(frozen=True, slots=True)
class Settled:
    """Findings that count, findings that do not, and rules that failed meanwhile."""

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...] = ()
    crashed: tuple[NotChecked, ...] = ()


def settle(observed: Trace, findings: Sequence[Finding], vanished: Vanished, asked: Asked) -> Settled:
    """Explain the findings, take off what is suppressed and what the baseline knows, judge the suppressions themselves.

    ``vanished`` is what counterfactual repairs made vanish, as in `rules.causes.attribute`.
    """

    def without_orphans(outcome: Outcome) -> Outcome:
        again = explained(observed, [replace(each, root=None) for each in outcome.kept], vanished)
        return followed(outcome, {each.id: each.root for each in again})

    suppressions = (*asked.suppressions, *of_comments(observed, selection.codes))
    told = explained(observed, findings, vanished)
    outcome = without_orphans(suppress(told, suppressions, observed, (rule.code for rule in asked.counted)))
    outcome = without_orphans(_without_known(outcome, asked))
    notes, crashed = _late("suppressions", replace(observed, suppressions=outcome.facts), asked)
    hidden = sorted(outcome.suppressed, key=lambda each: _order(each.finding))
    return Settled((*as_loud(outcome.kept), *notes), tuple(hidden), crashed)


def _without_known(outcome: Outcome, asked: Asked) -> Outcome:
    """Take off what the baseline knows to be as loud: each root counts as loud as its worst consequence."""
    if asked.baseline is None:
        return outcome
    severities = {finding.id: finding.severity for finding in as_loud(outcome.kept)}
    kept: list[Finding] = []
    for finding in outcome.kept:
        why = baselines.known(finding, severities[finding.id], asked.baseline)
        if why is None:
            kept.append(finding)
        else:
            outcome.suppressed.append(Suppressed(finding, f"baseline {asked.baseline.name}", why))
    return replace(outcome, kept=kept)


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
        except Exception as error:  # noqa: BLE001 - a rule that raises makes the check incomplete
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
    told = f"{by}: {len(asked.baseline.entries)} entries, which hide {hidden} of today's findings"
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
