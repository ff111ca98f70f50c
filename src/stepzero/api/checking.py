"""A check from its beginning to its end: build, probe, judge, explain, settle."""

import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from stepzero.api.asked import Asked, asked_for
from stepzero.api.fixing import remember
from stepzero.api.settling import Settled, in_order, over_seeds, settle, with_baseline_told
from stepzero.core.baseline import Baseline
from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.core.finding import RANK, Finding
from stepzero.core.graph import known_readers
from stepzero.core.limits import Limits
from stepzero.core.outcome import Accepted, NotChecked, Report
from stepzero.core.rule import NotJudged, Rule
from stepzero.core.seed import checked_seed
from stepzero.core.trace import Trace
from stepzero.core.version import VERSION
from stepzero.measure import idioms
from stepzero.measure.coverage import coverage
from stepzero.measure.layers import layer_table
from stepzero.probe import further
from stepzero.probe.build import build
from stepzero.probe.capture import capture
from stepzero.probe.control import remeasured
from stepzero.probe.counterfactual import redrawn
from stepzero.probe.optimizer import made_for, optimizer_fact
from stepzero.probe.restore import without_collection
from stepzero.probe.subject import Subject, subject_of
from stepzero.rules.causes import candidates

Progress = Callable[[str], None] | None

_REPAIRED = 5
"""Root causes tried by redrawing them, the likeliest first."""
_NOT_AGAIN = frozenset(["poison", "control", "replicas", "reference"])
"""Probes whose records do not change when a copy is redrawn, or are taken anew in another way."""
_ONE_FACTOR = frozenset(["SZ402"])
"""Where redrawing one of the tensors named is the cure, and redrawing all would hide which."""


@dataclass
class _Judged:
    """What the rules said."""

    findings: list[Finding] = field(default_factory=list)
    not_judged: list[NotChecked] = field(default_factory=list)
    crashed: list[NotChecked] = field(default_factory=list)


def check(
    model: Any,
    batch: Any = None,
    loss: Any = None,
    target: Any = None,
    *,
    optimizer: Any = None,
    lr: float | None = None,
    select: str | Iterable[str] | None = None,
    ignore: str | Iterable[str] | None = None,
    seed: int = 0,
    profile: str | Iterable[str] | None = None,
    deep: bool = False,
    progress: Progress = None,
    batch_is_stand_in: bool = False,
    name: str | None = None,
    limits: Limits | None = None,
    per_module_ignores: Mapping[str, Any] | None = None,
    baseline: Baseline | str | Path | None = None,
    seeds: int = 1,
    reference: Mapping[str, Any] | None = None,
) -> Report:
    """Check a model on one batch before the first optimizer step.

    Args:
        model: any `torch.nn.Module`, or a factory without arguments that returns a model, ``(model, batch)`` or
            ``(model, batch, loss)``. A factory unlocks the search for unwritten memory and source lines.
        batch: a tensor, a tuple of positional arguments, a dict of keyword arguments, `sz.Batch` or a loader.
        loss: ``callable(output)``, ``callable(output, target)``, a name such as ``"cross_entropy"``, or None: the
            model's own ``.loss``, else one inferred from the target, else random cotangents; the report says which.
        target: what the loss compares with.
        optimizer: the optimizer training will use, if one is at hand (instance, class, name, or a function of the
            model that makes it): some symmetries and some zeros last under one and not under another.
        lr: its first learning rate, when it is not the optimizer's own.
        select: rule codes or prefixes to run (``"SZ1"``, ``"SZ305"``); all when None.
        ignore: rule codes or prefixes whose findings do not count. They are still looked for, without measurements
            of their own, so that what follows from them does not come to count in their place.
        seed: seed of every draw; two checks with one seed are equal.
        profile: what the model is for, where a rule has to be told: ``"rl"`` for a policy,
            ``"mup"`` for one that is to grow.
        deep: run the expensive probes as well: whether samples or positions leak into each other, how sharp the loss
            is, how the start follows the width.
        progress: called with one line a stage.
        batch_is_stand_in: say that the batch is made up, so that rules about the data stay silent.
        name: what to call the model in the report.
        limits: other limits than the shipped ones.
        per_module_ignores: as ``ignore``, by a pattern over the paths of modules and parameters: ``{"encoder.*":
            "SZ302"}``, or ``{"encoder.*": {"codes": ["SZ302"], "reason": "..."}}``.
        baseline: findings that were there before, or the file that holds them; they do not count.
        reference: the state that was loaded into the model (names to tensors, or a checkpoint that holds one): what
            of it the model no longer holds is reported (SZ110).
        seeds: how many seeds of the factory to try, from ``seed`` on; what they disagree on becomes a note.

    Returns:
        A `Report`. The model, the batch and all global state are bit-identical before and after, also when the
        model raises.

    Raises:
        StepzeroError: the batch, the loss, a code or the baseline cannot be used; one line says what came and what to
            do.
        Exception: whatever the user's own code raised, with a note naming the layer it died in.
    """
    asked = asked_for(
        select,
        ignore,
        per_module_ignores,
        baseline,
        limits,
        optimizer=optimizer,
        lr=lr,
        profile=profile,
        deep=deep,
        reference=reference,
    )
    tried = _seeds(model, seed, seeds)
    say = progress or (lambda _: None)

    def made(number: int) -> Subject:
        return _subject(model, batch, loss, target, say, seed=tried[number], is_stand_in=batch_is_stand_in, name=name)

    subject = made(0)
    observed, report = examine(subject, asked, say)
    others = []
    for number in range(1, len(tried)):
        say(f"seed {number + 1} of {len(tried)}")
        others.append(examine(made(number), asked, lambda _: None)[1])
    return remember(over_seeds(observed, [report, *others], asked), subject, asked)


def _seeds(model: Any, first: Any, count: Any) -> tuple[int, ...]:
    """Seeds to try; `ConfigError` when there is no factory to try them on."""
    start, number = checked_seed(first), count if isinstance(count, int) and not isinstance(count, bool) else 0
    if number < 1:
        raise ConfigError(f"seeds: expected a whole number from 1 on, got {count!r}")
    if number > 1 and (isinstance(model, nn.Module) or not callable(model)):
        raise ConfigError("seeds: expected a factory that builds the model anew, got a model, which has one start")
    return tuple(checked_seed(start + index) for index in range(number))


def examine(subject: Subject, asked: Asked, say: Callable[[str], None]) -> tuple[Trace, Report]:
    """Observe, judge and settle one subject; the report is of its one start."""
    subject.reference = asked.reference
    subject.made_by, subject.optimizer = asked.optimizer, made_for(asked.optimizer, subject.model)
    is_built = subject.factory is not None and subject.optimizer is asked.optimizer
    told = optimizer_fact(subject.optimizer, asked.lr, subject.model, is_built=is_built)
    needs = {need for rule in asked.counted for need in rule.needs}
    observed = further.observed(subject, needs, say, deep=asked.deep, optimizer=told, profiles=asked.profiles)
    say("judging")
    judged = _judged(observed, asked.chosen, asked.limits)
    vanished = _vanished(subject, observed, judged, asked.chosen, asked.limits)
    settled = settle(observed, judged.findings, vanished, asked)
    judged = _counted(judged, asked)
    accepted = _accepted(observed, judged, asked.limits)
    return observed, _report(observed, judged, settled, asked, accepted)


def _counted(judged: _Judged, asked: Asked) -> _Judged:
    """Leave out what rules that are ignored could not judge, or crashed on."""

    def counts(entry: NotChecked) -> bool:
        return entry.what.partition(" ")[0] not in asked.left_out

    return _Judged(judged.findings, [*filter(counts, judged.not_judged)], [*filter(counts, judged.crashed)])


PROBES = tuple(further.PROBES)
"""Probes beyond the first pass."""


def trace(
    model: Any,
    batch: Any = None,
    loss: Any = None,
    target: Any = None,
    *,
    seed: int = 0,
    probes: Iterable[str] = (),
) -> Trace:
    """Observe one forward and backward and return the Trace; arguments as in `check`.

    ``probes`` names further probes to run whether or not the first pass gives a reason: see `PROBES`.
    """
    seed = checked_seed(seed)
    wanted = (probes,) if isinstance(probes, str) else tuple(probes) if isinstance(probes, Iterable) else (probes,)
    if unknown := [name for name in wanted if name not in PROBES]:
        raise ConfigError(
            f"probes: no probe {unknown[0]!r}{did_you_mean(str(unknown[0]), PROBES)}; known: {', '.join(PROBES)}"
        )
    subject = _subject(model, batch, loss, target, lambda _: None, seed=seed)
    return further.probed(capture(subject), subject, wanted)


def _subject(
    model: Any,
    batch: Any,
    loss: Any,
    target: Any,
    say: Callable[[str], None],
    *,
    seed: int,
    is_stand_in: bool = False,
    name: str | None = None,
) -> Subject:
    if isinstance(model, nn.Module) or not callable(model):
        return subject_of(model, batch, loss, target, name=name or "", seed=seed, is_stand_in=is_stand_in)
    say("building the model")
    return build(model, batch, loss, target, name=name or "", seed=seed, is_stand_in=is_stand_in)


def _judged(observed: Trace, chosen: tuple[Rule, ...], limits: Limits) -> _Judged:
    """Ask every rule; one that raises makes the check incomplete, and is never the user's problem."""
    judged = _Judged()
    with known_readers(observed), without_collection():
        for rule in chosen:
            _ask(rule, observed, limits, judged)
    return judged


def _ask(rule: Rule, observed: Trace, limits: Limits, judged: _Judged) -> None:
    try:
        for said in rule.judge(observed, limits):
            if isinstance(said, NotJudged):
                judged.not_judged.append(NotChecked(f"{rule.code} {rule.name}", said.reason))
            else:
                judged.findings.append(_placed(said, observed))
    except Exception as error:  # noqa: BLE001 - a rule that raises makes the check incomplete
        why = " ".join(f"the rule crashed: {type(error).__name__}: {error}".split())
        judged.crashed.append(NotChecked(f"{rule.code} {rule.name}", why))


def _vanished(
    subject: Subject, observed: Trace, judged: _Judged, chosen: tuple[Rule, ...], limits: Limits
) -> dict[str, frozenset[str]]:
    """Redraw each candidate's place on a copy and measure again: which findings are gone? (catalogue 0.8).

    Only the rules that found something are asked again, and only what they read is measured.
    """
    gone: dict[str, frozenset[str]] = {}
    codes = {finding.code for finding in judged.findings}
    chosen = tuple(rule for rule in chosen if rule.code in codes)
    needs = {need for rule in chosen for need in rule.needs}
    unasked = {rule.code for rule in chosen if further.DEEP.union(["replicas", "reference"]).intersection(rule.needs)}
    for candidate in candidates(observed, judged.findings)[:_REPAIRED]:
        if any(candidate.id in each for each in gone.values()):
            continue
        places = _repaired_places(observed, candidate)
        try:
            other = redrawn(subject, observed, places)
            if other is None:
                continue
            repaired = further.observed(
                other, needs - _NOT_AGAIN, optimizer=observed.optimizer, profiles=observed.profiles
            )
            if observed.control.ran and "control" in needs:
                repaired = replace(repaired, control=remeasured(other, observed, observed.control))
            again = _judged(repaired, chosen, limits).findings
        except Exception:  # noqa: BLE001 - the copy may fail in ways the model does not: then nothing is learnt
            continue
        gone[candidate.id] = frozenset(
            finding.id
            for finding in judged.findings
            if finding is not candidate and finding.code not in unasked and not _is_among(finding, again)
        )
    return gone


def _repaired_places(observed: Trace, candidate: Finding) -> tuple[str, ...]:
    """What to redraw: one factor of each dead product, the blocking zero alone, else all the finding names."""
    factors = {name: product.factors[0] for product in observed.wake.products for name in product.factors}
    if candidate.code == "SZ701":
        return tuple(dict.fromkeys(factors[name] for name in candidate.where if name in factors))
    return (candidate.fix.parameter,) if candidate.code in _ONE_FACTOR and candidate.fix else candidate.where


def _is_among(finding: Finding, others: list[Finding]) -> bool:
    """Whether the same trouble is still there, at least in part of its place and at least as loud as a warning."""
    return any(
        other.code == finding.code
        and (set(other.where) & set(finding.where) or not finding.where)
        and RANK[other.severity] <= max(RANK[finding.severity], RANK["warning"])
        for other in others
    )


def _accepted(observed: Trace, judged: _Judged, limits: Limits) -> tuple[Accepted, ...]:
    """Idioms of places that nothing louder than a note was said of: no place is a fault and fine at once."""
    faulty = {place for finding in judged.findings if finding.severity != "info" for place in finding.where}
    try:
        return tuple(each for each in idioms.accepted(observed, limits) if not faulty.intersection(each.where))
    except Exception as error:  # noqa: BLE001 - as for a rule: never the user's problem
        judged.crashed.append(NotChecked("idioms", " ".join(f"crashed: {type(error).__name__}: {error}".split())))
        return ()


def _report(observed: Trace, judged: _Judged, settled: Settled, asked: Asked, accepted: tuple[Accepted, ...]) -> Report:
    covered = coverage(observed, asked.counted, judged.not_judged, [*judged.crashed, *settled.crashed])
    report = Report(
        model=observed.model,
        findings=in_order(settled.findings),
        layers=layer_table(observed),
        coverage=replace(covered, accepted=accepted),
        loss=observed.loss.value,
        loss_note=observed.loss.note,
        conditions=observed.conditions,
        seed=observed.seed,
        num_parameters=sum(fact.numel for fact in observed.parameters),
        versions={
            "stepzero": VERSION,
            "torch": observed.torch,
            "python": platform.python_version(),
        },
        suppressed=settled.suppressed,
    )
    return with_baseline_told(report, asked)


def _placed(finding: Finding, observed: Trace) -> Finding:
    """Add the source line of what the finding names first."""
    if finding.source_line or not finding.where:
        return finding
    return replace(finding, source_line=observed.source_line(finding.where[0]))
