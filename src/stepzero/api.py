"""The whole story in one file: build, probe, judge, explain. The only module that knows every layer below it."""

import platform
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from stepzero import rules
from stepzero.core.control import ControlFact
from stepzero.core.errors import ConfigError, StepzeroError, TargetError, did_you_mean
from stepzero.core.finding import RANK, Finding
from stepzero.core.limits import Limits
from stepzero.core.outcome import Accepted, NotChecked, Report
from stepzero.core.plan import FanFact, Plan
from stepzero.core.provenance import PoisonFact
from stepzero.core.rule import NotJudged, Rule
from stepzero.core.seed import checked_seed
from stepzero.core.symmetry import SymmetryFact
from stepzero.core.trace import Trace
from stepzero.core.version import VERSION
from stepzero.core.wake import WakeFact
from stepzero.measure import idioms, oddities, suspicion
from stepzero.measure.coverage import CRASHED, coverage
from stepzero.measure.layers import layer_table
from stepzero.probe.build import build
from stepzero.probe.capture import capture
from stepzero.probe.control import control, remeasured
from stepzero.probe.counterfactual import redrawn
from stepzero.probe.layouts import module_fans, traced_fans
from stepzero.probe.optimizer import optimizer_fact
from stepzero.probe.poison import poison
from stepzero.probe.subject import Batch, Subject, subject_of
from stepzero.probe.symmetry import symmetry
from stepzero.probe.wake import wake
from stepzero.repair.fix import fix
from stepzero.repair.writable import writable
from stepzero.rules.causes import attribute, candidates

Progress = Callable[[str], None] | None

_REPAIRED = 5
"""Root causes tried by redrawing them, the likeliest first."""
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
    deep: bool = False,  # noqa: ARG001 - of the contract; there is no expensive probe yet
    progress: Progress = None,
    batch_is_stand_in: bool = False,
    name: str | None = None,
    limits: Limits | None = None,
) -> Report:
    """Check a model on one batch before the first optimizer step.

    Args:
        model: any `torch.nn.Module`, or a factory without arguments that returns a model, ``(model, batch)`` or
            ``(model, batch, loss)``. A factory unlocks the search for unwritten memory and source lines.
        batch: a tensor, a tuple of positional arguments, a dict of keyword arguments, `sz.Batch` or a loader.
        loss: ``callable(output)``, ``callable(output, target)``, a name such as ``"cross_entropy"``, or None: the
            model's own ``.loss``, else one inferred from the target, else random cotangents; the report says which.
        target: what the loss compares with.
        optimizer: the optimizer training will use, if one is at hand (instance, class or name): some symmetries
            and some zeros last under one and not under another.
        lr: its first learning rate, when it is not the optimizer's own.
        select: rule codes or prefixes to run (``"SZ1"``, ``"SZ305"``); all when None.
        ignore: rule codes or prefixes to leave out.
        seed: seed of every draw; two checks with one seed are equal.
        deep: run the expensive probes as well.
        progress: called with one line a stage.
        batch_is_stand_in: say that the batch is made up, so that rules about the data stay silent.
        name: what to call the model in the report.
        limits: other limits than the shipped ones.

    Returns:
        A `Report`. The model, the batch and all global state are bit-identical before and after, also when the
        model raises.

    Raises:
        StepzeroError: the batch, the loss or a code cannot be used; one line says what came and what to do.
        Exception: whatever the user's own code raised, with a note naming the layer it died in.
    """
    chosen, seed = _chosen(select, ignore), checked_seed(seed)
    say = progress or (lambda _: None)
    subject = _subject(model, batch, loss, target, say, seed=seed, is_stand_in=batch_is_stand_in, name=name)
    told, subject.optimizer = optimizer_fact(optimizer, lr, subject.model), optimizer
    observed = replace(_observe(subject, {need for rule in chosen for need in rule.needs}, say), optimizer=told)
    say("judging")
    judged = _judged(observed, chosen, limits or Limits())
    vanished = _vanished(subject, observed, judged, chosen, limits or Limits())
    explained = attribute(observed, judged.findings, vanished)
    report = _report(observed, judged, explained, chosen, _accepted(observed, judged, limits or Limits()))
    return _remember(report, subject)


def fix_(
    model: nn.Module,
    report: Report,
    batch: Any = None,
    *,
    loss: Any = None,
    target: Any = None,
    unsafe: bool = False,
    seed: int = 0,
) -> Plan:
    """Carry out the fixes of a report on ``model``, in place, and check again.

    Args:
        model: the module that was checked, or one with the same parameters.
        report: what `check` said about it.
        batch: as in `check`; not needed for a report that `check` returned to this process.
        loss: as in `check`.
        target: as in `check`.
        unsafe: also carry out fixes that may overwrite values somebody meant.
        seed: of the draws.

    Returns:
        The `Plan`: what was written, with what was found before and after.

    Raises:
        StepzeroError: no batch is known for this report.
        IncompleteError: an error remained or appeared; every weight is as it was.
    """
    root, seed = writable(model), checked_seed(seed)
    if not isinstance(report, Report):
        raise ConfigError(f"report: expected what sz.check returned, got {type(report).__name__}")
    given = _ASKED.get(id(report)) if batch is None else {"batch": batch, "loss": loss, "target": target}
    if given is None:
        raise ConfigError("fix_: no batch is known for this report; pass the batch (and the loss)")
    given = {**given, "seed": report.seed}
    subject = subject_of(root, given["batch"], given["loss"], given["target"], seed=report.seed)
    return fix(subject, report, lambda: check(root, **given), unsafe=unsafe, seed=seed)


_ASKED: dict[int, dict[str, Any]] = {}
"""Batch, loss and target of the reports that are alive, so that `fix_` can check again."""


def _remember(report: Report, subject: Subject) -> Report:
    _ASKED[id(report)] = {
        "batch": Batch(subject.args, subject.kwargs),
        "loss": subject.loss,
        "target": subject.target,
        "batch_is_stand_in": subject.is_stand_in,
    }
    weakref.finalize(report, _ASKED.pop, id(report), None)
    return report


def fans(model: nn.Module, batch: Any = None) -> dict[str, FanFact]:
    """True fan-in and fan-out of every weight, by parameter name, and where each comes from.

    Args:
        model: any `torch.nn.Module`; left as it is.
        batch: as in `check`. With it fans come from the operations that read each weight, whoever calls them: einsum,
            transposed by hand, experts. Without it only torch's own modules are understood.

    Returns:
        A `FanFact` by name; parameters without fans (biases, norms) or of unknown layout are absent. What has no
        memory to run on (meta) is told from its modules all the same.
    """
    if not isinstance(model, nn.Module):
        raise TargetError(f"model: expected a torch.nn.Module, got {type(model).__name__}; pass the module itself")
    if batch is None:
        return {fact.name: fact for fact in module_fans(model)}
    return {fact.name: fact for fact in traced_fans(trace(model, batch)) or module_fans(model)}


PROBES = ("poison", "symmetry", "wake", "control")
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
    return _probed(capture(subject), subject, set(wanted), lambda _: None)


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


def _observe(subject: Subject, needs: set[str], say: Callable[[str], None]) -> Trace:
    """The first pass, and those probes that a rule asks for and that the first pass gives a reason for."""
    say("one forward and one backward")
    observed = capture(subject)
    reasons = {
        "poison": "asked for",
        "symmetry": suspicion.of_copies(observed),
        "wake": suspicion.of_sleep(observed),
        "control": oddities.of_oddity(observed),
    }
    return _probed(observed, subject, {need for need in needs if reasons.get(need)}, say)


def _probed(observed: Trace, subject: Subject, wanted: set[str], say: Callable[[str], None]) -> Trace:
    runs: dict[str, tuple[str, Callable[[], Any], Any]] = {
        "poison": ("building again in marked memory", lambda: poison(subject), PoisonFact),
        "symmetry": ("telling units apart", lambda: symmetry(subject, observed), SymmetryFact),
        "wake": ("taking virtual steps", lambda: wake(subject, observed, subject.optimizer), WakeFact),
        "control": ("drawing the model by law", lambda: control(subject, observed), ControlFact),
    }
    for name, (words, run, fact) in runs.items():
        if name not in wanted or not (name == "poison" or observed.has_backward):
            continue
        say(words)
        try:
            found = run()
        except Exception as error:  # as for a rule: a probe that crashes is never the user's problem
            if name == "poison" or isinstance(error, StepzeroError):
                raise
            found = fact(ran=False, reason=f"{CRASHED}{type(error).__name__}: {' '.join(str(error).split())}")
        observed = replace(observed, **{name: found})
    return observed


def _chosen(select: Iterable[str] | None, ignore: Iterable[str] | None) -> tuple[Rule, ...]:
    wanted, unwanted = _codes(select, "select"), _codes(ignore, "ignore")
    return tuple(
        rule
        for rule in rules.ALL
        if (select is None or _matches(rule, wanted)) and not _matches(rule, unwanted) and rule.status != "deprecated"
    )


def _codes(codes: Any, flag: str) -> tuple[str, ...]:
    """Check codes, names and prefixes against what exists."""
    if codes is None:
        return ()
    parts = codes.split(",") if isinstance(codes, str) else tuple(codes) if isinstance(codes, Iterable) else (codes,)
    if not all(isinstance(code, str) for code in parts):
        raise ConfigError(f"{flag}: expected codes, names or prefixes such as 'SZ1', got {codes!r}")
    listed = tuple(code.strip() for code in parts) if isinstance(codes, str) else tuple(parts)
    known = [*(rule.code for rule in rules.ALL), *(rule.name for rule in rules.ALL)]
    for code in listed:
        if not any(rule.code.startswith(code) or rule.name == code for rule in rules.ALL) or not code:
            raise ConfigError(
                f"{flag}: no rule {code!r}{did_you_mean(code, known)}; `stepzero rules` lists all of them"
            )
    return listed


def _matches(rule: Rule, codes: tuple[str, ...]) -> bool:
    return any(rule.code.startswith(code) or rule.name == code for code in codes)


def _judged(observed: Trace, chosen: tuple[Rule, ...], limits: Limits) -> _Judged:
    """Ask every rule; one that raises makes the check incomplete, and is never the user's problem."""
    judged = _Judged()
    for rule in chosen:
        try:
            for said in rule.judge(observed, limits):
                if isinstance(said, NotJudged):
                    judged.not_judged.append(NotChecked(f"{rule.code} {rule.name}", said.reason))
                else:
                    judged.findings.append(_placed(said, observed))
        except Exception as error:  # noqa: BLE001 - see above
            why = " ".join(f"the rule crashed: {type(error).__name__}: {error}".split())
            judged.crashed.append(NotChecked(f"{rule.code} {rule.name}", why))
    return judged


def _vanished(
    subject: Subject, observed: Trace, judged: _Judged, chosen: tuple[Rule, ...], limits: Limits
) -> dict[str, frozenset[str]]:
    """Redraw each candidate's place on a copy and measure again: which findings are gone? (catalogue 0.8)."""
    gone: dict[str, frozenset[str]] = {}
    needs = {need for rule in chosen for need in rule.needs} - {"poison", "control"}
    for candidate in candidates(observed, judged.findings)[:_REPAIRED]:
        if any(candidate.id in each for each in gone.values()):
            continue
        places = _repaired_places(observed, candidate)
        try:
            other = redrawn(subject, observed, places)
            if other is None:
                continue
            repaired = replace(_observe(other, needs, lambda _: None), optimizer=observed.optimizer)
            if observed.control.ran:
                repaired = replace(repaired, control=remeasured(other, observed, observed.control))
            again = _judged(repaired, chosen, limits).findings
        except Exception:  # noqa: BLE001 - the copy may fail in ways the model does not: then nothing is learnt
            continue
        gone[candidate.id] = frozenset(
            finding.id for finding in judged.findings if finding is not candidate and not _is_among(finding, again)
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


def _report(
    observed: Trace,
    judged: _Judged,
    explained: tuple[Finding, ...],
    chosen: tuple[Rule, ...],
    accepted: tuple[Accepted, ...],
) -> Report:
    return Report(
        model=observed.model,
        findings=tuple(sorted(explained, key=lambda finding: (RANK[finding.severity], finding.code, finding.where))),
        layers=layer_table(observed),
        coverage=replace(coverage(observed, chosen, judged.not_judged, judged.crashed), accepted=accepted),
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
    )


def _placed(finding: Finding, observed: Trace) -> Finding:
    """Add the source line of what the finding names first."""
    if finding.source_line or not finding.where:
        return finding
    return replace(finding, source_line=observed.source_line(finding.where[0]))
