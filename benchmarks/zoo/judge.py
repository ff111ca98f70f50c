"""Check one entry of the zoo and judge the check.

No crash, nothing changed, no error-level finding, the same report twice, the same from a factory, and numbers that a
second measurement confirms.
"""

import resource
import statistics
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.zoo.entry import Entry, plain_step, seed_everything
from benchmarks.zoo.snapshot import take
from benchmarks.zoo.truth import disagreements

STEPS = 3
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
    is_argued: bool


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
    """The second check: the first also pays imports."""
    step_seconds: float = 0.0
    peak_mib: float = 0.0
    """Peak resident memory of the process that did all of it."""

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
        is_quiet = not (self.crash or self.changed or self.false_alarms or self.incomplete or self.wrong)
        return is_quiet and self.is_repeatable

    def count(self, severity: str) -> int:
        """Findings of one severity."""
        return sum(said.severity == severity for said in self.findings)


def judge(entry: Entry, *, seed: int = 0) -> Verdict:
    """Build ``entry``, check it twice under the eyes of a snapshot, then time the plain step."""
    verdict = Verdict(entry.key, entry.family)
    try:
        model, batch, loss = entry.build(seed)
        verdict.parameters = sum(parameter.numel() for parameter in model.parameters())
        leave_traces(model)
        reports = [_check(verdict, model, batch, loss) for _ in range(2)]
        _read(verdict, entry, reports)
        _confirm(verdict, model, batch, loss)
        verdict.step_seconds = _time_steps(model, batch, loss)
        _check_factory(verdict, entry, seed)
    except Exception as error:  # noqa: BLE001  whatever it is, it goes into the verdict
        verdict.crash = told(error)
    verdict.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return verdict


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
    start = time.perf_counter()
    try:
        return check(model, batch, loss)
    finally:  # also when it raises: the model must be untouched then too
        verdict.check_seconds = time.perf_counter() - start
        verdict.changed += before.differences(model, batch)[:MAX_LINES]


def _read(verdict: Verdict, entry: Entry, reports: list[Any]) -> None:
    first, second = reports
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
        is_argued=finding.code in entry.argued,
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


def _time_steps(model: nn.Module, batch: Any, loss: Any) -> float:
    seed_everything(0)
    seconds = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        plain_step(model, batch, loss)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
