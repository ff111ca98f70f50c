"""One trial: plant, check, and say whether the check told it from the network as it was."""

import functools
import itertools
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import stepzero as sz
from benchmarks import kept
from benchmarks.faults import blocks, training, twins, values, wiring
from benchmarks.faults.kind import Kind, plant
from benchmarks.faults.networks import networks
from benchmarks.faults.subject import Subject

FAULTS: dict[str, Kind] = {**values.KINDS, **blocks.KINDS, **wiring.KINDS}
TWINS: dict[str, Kind] = twins.KINDS
LOUD = ("error", "warning")
FIRST_HELD = 1000
"""Seeds from here on belong to the networks that are held back."""
_SOURCES = [*training.SOURCES, Path(twins.__file__), Path(__file__), Path(sz.__file__).parent]


@dataclass(frozen=True)
class Case:
    """A kind of write in a network of one seed."""

    net: str
    kind: str
    seed: int

    @property
    def is_twin(self) -> bool:
        return self.kind in TWINS

    def planted(self) -> tuple[Subject, tuple[str, ...]] | None:
        """The subject and where the write went; None when the network has no such part."""
        subject = networks()[self.net].subject(self.seed)
        what = (TWINS if self.is_twin else FAULTS)[self.kind]
        where = plant(subject, what, f"{self.net} {self.kind} {self.seed}")
        return None if where is None else (subject, where)


@dataclass
class Trial:
    """What a check said of a case."""

    case: Case
    where: tuple[str, ...]
    said: list[dict[str, Any]] = field(default_factory=list)
    """Warnings and errors that the sound network does not get as loudly, roots first, loudest first."""
    crash: str = ""
    seconds: float = 0.0
    hurts: bool | None = None
    """Whether training found it harmful; None when it was not asked."""
    loss: float | None = None
    """After training."""
    sound: float | None = None
    """The same for the network as it was, mean over seeds."""

    @property
    def is_detected(self) -> bool:
        return bool(self.said)

    @property
    def is_placed(self) -> bool | None:
        """Whether the first finding's first place is the fault's; None when the fault has no place."""
        if not self.where:
            return None
        first = self.said[0]["where"][:1] if self.said else []
        return any(touches(place, fault) for place in first for fault in self.where)

    @property
    def is_named(self) -> bool:
        """Whether the first finding's code names the fault."""
        return bool(self.said) and self.said[0]["code"] in FAULTS[self.case.kind].codes


def touches(where: str, place: str) -> bool:
    """Same path, inside it or around it."""
    return where == place or where.startswith(f"{place}.") or (bool(where) and place.startswith(f"{where}."))


def run(case: Case) -> Trial | None:
    """Plant and check; None when the network has no such part. What the same sources said before is read again."""
    made = kept.outcome(f"trial {case.net} {case.kind} {case.seed}", _SOURCES, lambda: _run(case))
    return Trial(case, tuple(made["where"]), made["said"], made["crash"], made["seconds"]) if made else None


def _run(case: Case) -> dict[str, Any]:
    made = case.planted()
    if made is None:
        return {}
    subject, where = made
    said: list[dict[str, Any]] = []
    crash, began = "", time.perf_counter()
    try:
        findings, known = checked(subject), sound(case.net, case.seed)
        said = [
            {"code": each.code, "severity": each.severity, "where": list(each.where), "message": each.message}
            for each in findings
            if not any(_covers(other, each) for other in known)
        ]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
        crash = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return {"where": list(where), "said": said, "crash": crash, "seconds": round(time.perf_counter() - began, 2)}


def train_(trial: Trial) -> None:
    """Find out whether the write of this trial hurts."""
    case = trial.case
    reference = training.sound(case.net, FIRST_HELD if networks()[case.net].is_held else 0)
    name = f"hurts {case.net} {case.kind} {case.seed}"
    made = kept.outcome(name, training.SOURCES, lambda: {"loss": _loss_after(case, reference)})
    trial.loss, trial.sound = made["loss"], reference.mean
    trial.hurts = reference.hurts(made["loss"])


def _loss_after(case: Case, reference: training.Sound) -> float:
    planted = case.planted()
    assert planted is not None, f"{case} was planted before"
    return training.loss_after(planted[0], case.seed, reference)


@functools.cache
def sound(name: str, seed: int) -> tuple[Any, ...]:
    """What is said of the network as it is."""
    return tuple(checked(networks()[name].subject(seed)))


def checked(subject: Subject) -> list[Any]:
    """Loud findings: roots first, then by severity, as a report shows them."""
    inputs, targets = subject.batch(torch.Generator().manual_seed(7), subject.checked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = sz.check(subject.factory or subject.model, inputs, subject.loss, targets)
    loud = [each for each in report.findings if each.severity in LOUD]
    return sorted(loud, key=lambda each: (each.root is not None, LOUD.index(each.severity)))


def _covers(other: Any, said: Any) -> bool:
    is_same = (other.code, other.where) == (said.code, said.where)
    return bool(is_same and LOUD.index(other.severity) <= LOUD.index(said.severity))


def trials(kinds: Iterable[str], seeds: Iterable[int], count: int, *, is_held: bool, only: str = "") -> Iterator[Trial]:
    """Of every kind up to ``count`` trials, over the networks that have a place for it in turn, seed by seed."""
    chosen = [name for name, net in networks().items() if net.is_held == is_held and only in name]
    seeds = tuple(seeds)
    for kind in kinds:
        shift = [*FAULTS, *TWINS].index(kind) * 5 % max(1, len(chosen))
        turned = [*chosen[shift:], *chosen[:shift]]
        found = (trial for seed in seeds for name in turned if (trial := run(Case(name, kind, seed))) is not None)
        yield from itertools.islice(found, count)
