"""Check one entry of the zoo and judge the check.

No crash, nothing changed, no error-level finding; for the entries built by hand also the same report twice, the same
from a factory, and numbers that a second measurement confirms.
"""

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.zoo import argued
from benchmarks.zoo.entry import Entry, plain_step, seed_everything
from benchmarks.zoo.meter import metered
from benchmarks.zoo.snapshot import take
from benchmarks.zoo.truth import disagreements

STEPS, MOST = 2, 60
ENOUGH = 0.3
"""Processor seconds of plain steps that a mean is taken over."""
MAX_LINES = 20
ROOT = Path(__file__).parents[2]


@dataclass
class Said:
    """One finding, cut down to what a table needs."""

    code: str
    severity: str
    where: list[str]
    message: str
    root: str | None
    argument: str = ""
    """Why the finding is right, when the entry says so."""

    @property
    def is_argued(self) -> bool:
        """Whether somebody said why it is right."""
        return bool(self.argument)


@dataclass
class Idiom:
    """One kind of accepted idiom: how many places, the first of them, and why it is fine."""

    name: str
    count: int
    first: list[str]
    why: str


@dataclass
class Verdict:
    """What happened when one entry was checked."""

    key: str
    family: str
    parameters: int = 0
    unbuilt: str = ""
    """Why the model itself does not build or run: no verdict on the check."""
    late: str = ""
    """Set when the time of the entry ran out."""
    crash: str = ""
    changed: list[str] = field(default_factory=list)
    findings: list[Said] = field(default_factory=list)
    is_repeatable: bool = True
    wrong: list[str] = field(default_factory=list)
    """Numbers of the Trace that the second measurement contradicts."""
    incomplete: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    accepted: list[Idiom] = field(default_factory=list)
    """Idioms: silent because they are meant and were seen to do no harm."""
    weighted: str = ""
    """Weighted operations checked / found."""
    check_seconds: float = 0.0
    """Processor time of the last check from an instance."""
    step_seconds: float = 0.0
    passes: int = 0
    """Forward passes of the model, and of copies of it, in that check."""
    check_mib: float = 0.0
    """Memory that check added at its peak."""
    step_mib: float = 0.0
    """Memory a plain step added at its peak."""

    @property
    def ratio(self) -> float:
        """Time of a check over time of one plain forward and backward pass."""
        return self.check_seconds / self.step_seconds if self.step_seconds else 0.0

    @property
    def false_alarms(self) -> list[Said]:
        """Findings of severity error that nobody argued for."""
        return [said for said in self.findings if said.severity == "error" and not said.is_argued]

    @property
    def is_ok(self) -> bool:
        """Whether the run may stay green."""
        is_quiet = not (self.late or self.crash or self.changed or self.false_alarms or self.incomplete or self.wrong)
        return is_quiet and self.is_repeatable

    def count(self, severity: str) -> int:
        """Findings of one severity."""
        return sum(said.severity == severity for said in self.findings)


def judge(entry: Entry, *, seed: int = 0) -> Verdict:
    """Build ``entry``, check it under the eyes of a snapshot, then measure plain steps."""
    verdict = Verdict(entry.key, entry.family)
    try:
        model, batch, loss = entry.build(seed)
        entry = replace(entry, argued={**entry.argued, **argued.by_config(model)})
        verdict.parameters = sum(parameter.numel() for parameter in model.parameters())
        seed_everything(0)
        plain_step(model, batch, loss)  # the first run of any model pays for kernels that later ones find ready
        leave_traces(model)
    except Exception as error:  # noqa: BLE001  whatever it is, it goes into the verdict
        verdict.unbuilt = told(error)
        return verdict
    try:
        _look(verdict, entry, model, batch, loss)
    except Exception as error:  # noqa: BLE001
        verdict.crash = told(error)
    try:
        _measure_steps(verdict, model, batch, loss)
        if not (entry.is_light or verdict.crash):
            _check_factory(verdict, entry, seed)
    except Exception as error:  # noqa: BLE001
        if verdict.step_seconds:
            verdict.crash = verdict.crash or told(error)
        else:
            verdict.unbuilt, verdict.crash = told(error), ""
    return verdict


def _look(verdict: Verdict, entry: Entry, model: nn.Module, batch: Any, loss: Any) -> None:
    reports = [_check(verdict, model, batch, loss) for _ in range(1 if entry.is_light else 2)]
    _read(verdict, entry, reports)
    if not entry.is_light:
        _confirm(verdict, model, batch, loss)


def told(error: Exception) -> str:
    """The error and where it came from, without the paths of this machine."""
    places = []
    for frame in traceback.extract_tb(error.__traceback__):
        path = frame.filename.rpartition("site-packages/")[2].removeprefix(f"{ROOT}/")
        short = Path(path).name if path.startswith("/") else path
        places.append(f"{short}:{frame.lineno} in {frame.name}")
    lines = [f"{type(error).__name__}: {error}".splitlines()[0][:300], *getattr(error, "__notes__", [])]
    return "\n".join([*lines, *places[::-1][:MAX_LINES]])


def leave_traces(model: nn.Module) -> None:
    """Give the model the marks of a life before the check: some gradients, and a hook of the user's own."""
    for index, parameter in enumerate(model.parameters()):
        if index % 3 == 0 and parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 0.5 + index)
    first = next(iter(model.children()), model)
    first.register_forward_hook(_users_hook)


def _users_hook(module: nn.Module, arguments: Any, output: Any) -> None:
    """Does nothing; its being there is the point."""


def _check(verdict: Verdict, model: nn.Module, batch: Any, loss: Any) -> Any:
    from stepzero.api import check

    before = take(model, batch)
    try:
        with metered(model) as cost:
            return check(model, batch, loss)
    finally:  # also when it raises: the model must be untouched then too
        verdict.check_seconds, verdict.passes, verdict.check_mib = cost.seconds, cost.passes, cost.mib
        verdict.changed += before.differences(model, batch)[:MAX_LINES]


def _read(verdict: Verdict, entry: Entry, reports: list[Any]) -> None:
    first, second = reports[0], reports[-1]
    verdict.is_repeatable = first.findings == second.findings and first.layers == second.layers
    coverage = second.coverage
    verdict.weighted = f"{coverage.weighted_checked}/{coverage.weighted_total}"
    verdict.incomplete = [f"{item.what}: {item.why}" for item in coverage.incomplete]
    verdict.not_checked = [f"{item.what}: {item.why}" for item in (*coverage.skipped, *coverage.not_judged)]
    verdict.accepted = idioms(coverage.accepted)
    verdict.findings = list(map(_cut(entry), second.findings))


def idioms(accepted: Iterable[Any]) -> list[Idiom]:
    """One entry a kind, in order of appearance."""
    found: dict[str, Idiom] = {}
    for each in accepted:
        known = found.setdefault(each.idiom, Idiom(each.idiom, 0, list(each.where[:4]), each.why))
        known.count += 1
    return list(found.values())


def _cut(entry: Entry) -> Callable[[Any], Said]:
    """A function that cuts a finding down, knowing what the entry argues for."""
    return lambda finding: Said(
        code=finding.code,
        severity=finding.severity,
        where=list(finding.where[:4]),
        message=finding.message,
        root=finding.root,
        argument=entry.argued.get(finding.code, ""),
    )


def _confirm(verdict: Verdict, model: nn.Module, batch: Any, loss: Any) -> None:
    from stepzero.api import trace

    inner = getattr(model, "_orig_mod", model)
    verdict.wrong = disagreements(inner, batch, loss, trace(inner, batch, loss))[:MAX_LINES]


def _check_factory(verdict: Verdict, entry: Entry, seed: int) -> None:
    """Once more from the factory, which unlocks the search for unwritten memory; the process must not change."""
    from stepzero.api import check

    bystander, nothing = nn.Linear(2, 2), torch.zeros(1)
    before = take(bystander, nothing)
    report = check(lambda: entry.build(seed))
    verdict.changed += [f"by the factory: {line}" for line in before.differences(bystander, nothing)[:MAX_LINES]]
    known = {(said.code, tuple(said.where)) for said in verdict.findings}
    verdict.findings += [
        said for said in map(_cut(entry), report.findings) if (said.code, tuple(said.where)) not in known
    ]


def _measure_steps(verdict: Verdict, model: nn.Module, batch: Any, loss: Any) -> None:
    """The mean of several steps: the clock of the processor ticks in milliseconds on some machines."""
    seed_everything(0)
    with metered(model) as cost:
        plain_step(model, batch, loss)
    verdict.step_mib, total, count = cost.mib, 0.0, 0
    while count < STEPS or (total < ENOUGH and count < MOST):
        with metered(model) as cost:
            for _ in range(STEPS):
                plain_step(model, batch, loss)
        total, count = total + cost.seconds, count + STEPS
    verdict.step_seconds = total / count
