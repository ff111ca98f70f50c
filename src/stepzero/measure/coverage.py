"""What a check covered, from the Trace: the difference between 'nothing is wrong' and 'nothing was looked at'."""

from typing import Any

from stepzero.core.outcome import Coverage, NotChecked
from stepzero.core.rule import Rule
from stepzero.core.trace import UNREADABLE, UNREGISTERED, Trace

_PROBES = (
    "symmetry",
    "wake",
    "control",
    "first_step",
    "isolate",
    "sharpness",
    "kernel",
    "widths",
    "replicas",
    "reference",
)
"""Fields of the Trace that a probe fills."""
_ASKED_FOR = frozenset(["isolate", "sharpness", "kernel", "widths", "reference"])
"""Of these the ones that run only when somebody asks: for a deep check, or with a reference."""
CRASHED = "crashed: "
"""How the reason of a probe begins that failed by itself: no verdict may rest on it."""


def coverage(
    observed: Trace, chosen: tuple[Rule, ...], not_judged: list[NotChecked], crashed: list[NotChecked]
) -> Coverage:
    """What was looked at, what was not, and why the report must not be read as 'all good' where it must not."""
    weighted = list(observed.weighted())
    measured = [operation for operation in weighted if operation.forward is not None]
    checked = [fact for fact in observed.parameters if fact.is_used or fact.gradient is not None]
    return Coverage(
        weighted_checked=len(measured),
        weighted_total=len(weighted),
        parameters_checked=len(checked),
        parameters_total=len(observed.parameters),
        rules_run=tuple(rule.code for rule in chosen if _has_looked(observed, rule)),
        not_judged=tuple(not_judged),
        skipped=tuple(NotChecked(what, why) for what, why in observed.skipped),
        incomplete=(*crashed, *_unjudged(chosen), *_failed_probes(observed), *_incomplete(observed, weighted)),
    )


def _has_looked(observed: Trace, rule: Rule) -> bool:
    """Whether the rule had what it reads: a probe that nobody asked for leaves it nothing."""
    return all(getattr(observed, need).ran for need in rule.needs if need in _ASKED_FOR)


def _failed_probes(observed: Trace) -> list[NotChecked]:
    reasons = {name: getattr(observed, name).reason for name in _PROBES}
    return [NotChecked(f"probe {name}", why) for name, why in reasons.items() if why.startswith(CRASHED)]


def _unjudged(chosen: tuple[Rule, ...]) -> list[NotChecked]:
    return [] if chosen else [NotChecked("rules", "no rule was selected: nothing was judged")]


def _incomplete(observed: Trace, weighted: list[Any]) -> list[NotChecked]:
    """Why this report must not be read as 'all good'."""
    if not observed.has_forward:
        return [NotChecked("forward", observed.conditions[0] if observed.conditions else "not run")]
    reasons = []
    if not observed.parameters:
        reasons.append(NotChecked("model", "it has no parameters: there is nothing to initialise"))
    elif not weighted:
        reasons.append(NotChecked("forward", "no operation with a weight was seen: nothing was checked"))
    sharded = [fact.name for fact in observed.parameters if fact.state in UNREADABLE]
    if sharded:
        reasons.append(NotChecked("sharded parameters", ", ".join(sharded[:5])))
    if weighted and all(operation.forward is None for operation in weighted):
        reasons.append(NotChecked("forward", "no result of a weighted operation could be measured"))
    foreign = [what for what, why in observed.skipped if why == UNREGISTERED]
    if foreign:
        reasons.append(
            NotChecked(f"parameters outside model.parameters(), read in {', '.join(foreign[:3])}", UNREGISTERED)
        )
    if observed.parameters and not any(fact.requires_grad for fact in observed.parameters):
        reasons.append(NotChecked("backward", "every parameter is frozen: nothing can train"))
    if not observed.has_backward and any(fact.requires_grad for fact in observed.parameters):
        reasons.append(NotChecked("backward", "no derivative leads from the loss to a trainable parameter"))
    return reasons
