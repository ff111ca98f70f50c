"""Carry out the fixes that findings name: redraw by law, calibrate, set; then the same check judges again."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from stepzero.core.errors import IncompleteError
from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.outcome import Report
from stepzero.core.plan import Entry, Plan
from stepzero.core.trace import Trace
from stepzero.probe.subject import Subject
from stepzero.repair import apply, planning
from stepzero.repair.calibrate import Target
from stepzero.repair.observe import forward, observe

ROUNDS = 4
"""A fix may bring to light what stood behind the fault; four in a row end it."""
_ONE_FACTOR = frozenset(["SZ402", "SZ701"])
"""Where redrawing one of the tensors named is the cure and the others are meant."""
_LAWS = frozenset(["SZ302", "SZ310"])
"""Notes that say how a value is off; harmless alone."""
_CALIBRATE = "calibrate"
_SET = {"zeros": 0.0}


def fix(subject: Subject, report: Report, check: Callable[[], Report], *, unsafe: bool, seed: int) -> Plan:
    """Fix what ``report`` found in ``subject.model``, in place.

    Args:
        subject: the model with its batch and loss.
        report: of the model as it is.
        check: checks the model again.
        unsafe: also carry out fixes that may overwrite values somebody meant.
        seed: of the draws.

    Returns:
        The Plan with what was found before and after.

    Raises:
        IncompleteError: an error remained that has a fix, or a new one appeared; every bit is put back.
    """
    plan = Plan(subject.name, seed, "fix", before=_places(report.findings))
    now = report
    with apply.Undo(subject.model) as undo:
        for number in range(ROUNDS):
            if not (due := _due(now.findings, unsafe=unsafe, is_first=number == 0)):
                break
            plan = _round(subject, plan, due, number)
            now = check()
        _refuse(report, now, unsafe=unsafe)
        undo.forget()
    left = [finding for finding in now.findings if finding.severity == "error"]
    notes = tuple(f"{finding.code} remains: {_reason(finding)}" for finding in left)
    return replace(plan, after=_places(now.findings), notes=plan.notes + notes)


def _due(findings: Iterable[Finding], *, unsafe: bool, is_first: bool) -> list[Finding]:
    """What is mended now: root causes first, and what hangs under them when it is still there after that.

    A weight off its law is only a note by itself; where something is wrong it is the likeliest reason, and redrawn.
    """
    loud = [
        finding for finding in findings if finding.severity in ("error", "warning") and _may_fix(finding, unsafe=unsafe)
    ]
    roots = [finding for finding in loud if finding.root is None] if is_first else loud
    quiet = [finding for finding in findings if finding.severity == "info" and finding.code in _LAWS]
    return [*(roots or loud), *quiet] if loud else []


def _may_fix(finding: Finding, *, unsafe: bool) -> bool:
    return finding.fix is not None and bool(finding.fix.scheme) and (finding.fix.is_safe or unsafe)


def _reason(finding: Finding) -> str:
    if finding.fix is None or not finding.fix.scheme:
        return "no values would mend it" + (f"; {finding.fix.title}" if finding.fix else "")
    return "its fix may overwrite values somebody meant; ask for unsafe fixes"


def _refuse(before: Report, after: Report, *, unsafe: bool) -> None:
    known = {(finding.code, finding.where) for finding in before.findings if finding.severity == "error"}
    errors = [finding for finding in after.findings if finding.severity == "error"]
    fresh = [finding for finding in errors if (finding.code, finding.where) not in known]
    stuck = [finding for finding in errors if _may_fix(finding, unsafe=unsafe) and finding.root is None]
    for finding, what in (*((each, "appeared") for each in fresh), *((each, "remained") for each in stuck)):
        raise IncompleteError(
            f"fix: {finding.code} {finding.name} at {', '.join(finding.where[:2]) or 'the model'} {what} after the "
            "fixes; all weights were put back"
        )


def _places(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(f"{finding.code} {', '.join(finding.where[:3])}" for finding in findings if finding.severity != "info")


def _round(subject: Subject, plan: Plan, due: list[Finding], number: int) -> Plan:
    """Draw and set what is due, once each; then calibrate what was drawn, or everything where that is the fix."""
    seen, accepted = observe(subject)
    found = planning.layout(seen)
    places = {name for finding in due for name in _named(finding, seen)}
    written = frozenset(plan.written())
    heads = _small_heads(seen, planning.entries(found, (), ()), written=written)
    meant = [each for each in accepted if not (places | heads).intersection(each.where)]
    lawful = {entry.name: entry for entry in planning.entries(found, meant, ())}
    chosen = {entry.name: entry for finding in due for entry in _entries(finding, seen, lawful)}
    chosen = _far_off(seen, lawful, heads, written=written) | chosen
    made = tuple(_again(entry, number) for entry in chosen.values())
    step = Plan(plan.model, plan.seed, plan.scheme, entries=made)
    inputs = [tensor for _, tensor in subject.named_inputs() if tensor.is_floating_point()]
    apply.draw(subject.model, step, inputs[0] if inputs else None)
    is_all = any(finding.fix is not None and finding.fix.scheme == _CALIBRATE for finding in due)
    targets = planning.targets(found, lawful.values() if is_all else made)
    if not is_all:
        targets = _for_heads(targets, lawful, written.union(chosen))
    done = apply.calibrated(subject.model, step, lambda: forward(subject), targets)
    kept = tuple(entry for entry in plan.entries if entry.name not in chosen)
    return replace(
        plan,
        entries=kept + done.entries,
        scalings=tuple(each for each in plan.scalings if each.name not in chosen) + done.scalings,
        skipped=plan.skipped + done.skipped,
        forwards=plan.forwards + done.forwards,
    )


def _for_heads(
    targets: Mapping[str, Target], lawful: Mapping[str, Entry], written: frozenset[str]
) -> dict[str, Target]:
    """Where most weights are as they were, heads are made quieter, never louder: law decides what is quiet enough.

    A signal that fades on its way to the head is not made up for there: the gradient that the head sends back would
    grow by the same factor, and what stands in front of it was not scaled for that.
    """
    inner = [name for name, entry in lawful.items() if entry.action == "drawn" and entry.role not in ("head", "table")]
    is_whole = 2 * len(written.intersection(inner)) > len(inner)
    heads = {name for name, entry in lawful.items() if entry.role == "head" and not is_whole}
    return {name: replace(target, is_most=name in heads) for name, target in targets.items()}


def _small_heads(seen: Trace, planned: Iterable[Entry], *, written: frozenset[str]) -> frozenset[str]:
    """Heads far below their law, where most other weights are as well: that is one mistake, not a careful start."""
    sizes, small = {fact.name: fact.rms for fact in seen.parameters}, dict[str, bool]()
    heads = set[str]()
    for entry in planned:
        if entry.action == "drawn" and entry.std and entry.name not in written:
            is_small = sizes.get(entry.name, 0.0) < entry.std / Limits().repair_law_factor
            if entry.role == "head" and is_small:
                heads.add(entry.name)
            elif entry.role not in ("head", "table"):
                small[entry.name] = is_small
    return frozenset(heads if 2 * sum(small.values()) > len(small) else ())


def _far_off(
    seen: Trace, lawful: dict[str, Entry], heads: frozenset[str], *, written: frozenset[str]
) -> dict[str, Entry]:
    """Weights far off their law and gains of norms that are zero: what the same mistake did elsewhere.

    Behind a norm, in a short chain or on a skip, a wrong scale is no fault by itself, so no rule names it; but in a
    model that something is wrong with, it is part of that. What calibration wrote is not judged again.
    """
    sizes = {fact.name: fact.rms for fact in seen.parameters}
    return {
        name: replace(entry, why=f"{entry.why}; its size {sizes[name]:.3g} was far off that")
        for name, entry in lawful.items()
        if name not in written and (name in heads or _is_far_off(entry, sizes.get(name, 0.0)))
    }


def _is_far_off(entry: Entry, size: float) -> bool:
    """Tables have two laws in use, 1 and d^-1/2; a head may be as small as it likes; gains vary once trained."""
    if entry.role == "gain":
        return entry.action == "set" and size == 0.0
    if entry.action != "drawn" or not entry.std:
        return False
    most = max(1.0, entry.std) if entry.role == "table" else entry.std
    least = 0.0 if entry.role == "head" else entry.std
    far = Limits().repair_law_factor
    return not least / far <= size <= most * far


def _again(entry: Entry, number: int) -> Entry:
    """Every round draws from streams of its own: the same numbers would be as wrong as before."""
    return replace(entry, seed_key=f"{entry.seed_key}#fix{number}") if entry.seed_key else entry


def _named(finding: Finding, seen: Trace) -> list[str]:
    """Parameters that the fix writes: those named, or all of a module that is named."""
    assert finding.fix is not None
    own = [finding.fix.parameter] if finding.fix.parameter else []
    if finding.code in _ONE_FACTOR or finding.fix.scheme in (*_SET, "zero-row", "identity", "kinks"):
        return own or _zeros(finding, seen) or list(finding.where[:1])
    names = {fact.name for fact in seen.parameters}
    inside = [
        fact.name
        for place in finding.where
        if place not in names
        for fact in seen.parameters
        if fact.name.startswith(f"{place}.")
    ]
    return list(dict.fromkeys([*own, *(name for name in finding.where if name in names), *inside]))


def _zeros(finding: Finding, seen: Trace) -> list[str]:
    """Of a finding that blames no single factor: all that are zero."""
    places = frozenset(finding.where)
    return [fact.name for fact in seen.parameters if fact.name in places and fact.rms == 0.0]


def _entries(finding: Finding, seen: Trace, lawful: dict[str, Entry]) -> list[Entry]:
    assert finding.fix is not None
    scheme, why = finding.fix.scheme, f"{finding.code}: {finding.fix.title}"
    made: list[Entry] = []
    if scheme == _CALIBRATE:
        return made
    for name in _named(finding, seen):
        entry = lawful.get(name)
        if scheme in _SET:
            entry = Entry(name, "set", "bias", why, value=_SET[scheme])
        elif scheme == "zero-row":
            row = int(finding.fix.arguments.get("row", 0))
            entry = Entry(name, "set", "table", why, "rows", values=((row, row + 1, 0.0),))
        elif scheme == "kinks":
            entry = Entry(name, "set", "bias", why, "kinks", seed_key=name)
        elif entry is None or entry.action not in ("drawn", "set"):
            continue
        elif scheme in ("orthogonal", "siren") and entry.action == "drawn":
            entry = replace(entry, scheme=scheme)
        made.append(replace(entry, why=why))
    return made
