"""The probes beyond the first pass: what each does, what reason it needs, in the order in which they run.

A probe runs when a rule asks for it and the first pass gives a reason, or when it is asked for by name. Each adds one
frozen record to the Trace, under its own name.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from stepzero.core.control import ControlFact
from stepzero.core.coordinates import WidthFact
from stepzero.core.errors import StepzeroError
from stepzero.core.isolation import IsolationFact
from stepzero.core.landscape import KernelFact, SharpnessFact, StepFact
from stepzero.core.optimizer import UNTOLD, OptimizerFact
from stepzero.core.provenance import PoisonFact
from stepzero.core.reference import ReferenceFact
from stepzero.core.replicas import ReplicasFact
from stepzero.core.symmetry import SymmetryFact
from stepzero.core.trace import Trace
from stepzero.core.wake import WakeFact
from stepzero.measure import oddities, suspicion
from stepzero.measure.coverage import CRASHED
from stepzero.probe.capture import capture
from stepzero.probe.control import comparison
from stepzero.probe.first_step import first_step
from stepzero.probe.isolate import isolate
from stepzero.probe.kernel import kernel
from stepzero.probe.poison import poison
from stepzero.probe.reference import compared
from stepzero.probe.replicas import replicas
from stepzero.probe.sharpness import sharpness
from stepzero.probe.subject import Subject
from stepzero.probe.symmetry import symmetry
from stepzero.probe.wake import wake
from stepzero.probe.widths import base_width, widths

Say = Callable[[str], None]
_ALWAYS = "asked for"


@dataclass(frozen=True, slots=True)
class Probe:
    """One measurement that takes more than the first pass."""

    words: str
    """What it does, for whoever waits."""
    run: Callable[[Subject, Trace], Any]
    fact: Callable[..., Any]
    reason: Callable[[Trace], str] = lambda _: _ALWAYS
    """Why the first pass makes it worth while; empty when it does not."""
    applies: Callable[[Subject], bool] = lambda _: True
    """Whether the subject is of the kind that it is about."""
    needs_gradient: bool = True
    is_deep: bool = False
    """Whether it is too expensive to run unless a deep check was asked for."""
    can_fail: bool = True
    """Whether a crash makes the check incomplete; else it is the factory's own error, and is raised."""


PROBES: dict[str, Probe] = {
    "poison": Probe(
        "building again in marked memory",
        lambda subject, _: poison(subject),
        PoisonFact,
        needs_gradient=False,
        can_fail=False,
    ),
    "symmetry": Probe("telling units apart", symmetry, SymmetryFact, suspicion.of_copies),
    "wake": Probe(
        "taking virtual steps",
        lambda subject, trace: wake(subject, trace, subject.optimizer),
        WakeFact,
        suspicion.of_sleep,
    ),
    "first_step": Probe("taking one step", first_step, StepFact, lambda trace: _ALWAYS if trace.optimizer.lr else ""),
    "isolate": Probe("replacing samples and tokens", isolate, IsolationFact, needs_gradient=False, is_deep=True),
    "sharpness": Probe("measuring curvature", sharpness, SharpnessFact, is_deep=True),
    "kernel": Probe("comparing the gradients of samples", kernel, KernelFact, is_deep=True),
    "widths": Probe(
        "training at three widths",
        widths,
        WidthFact,
        applies=lambda subject: base_width(subject.factory) is not None,
        is_deep=True,
    ),
    "replicas": Probe(
        "comparing the ranks",
        replicas,
        ReplicasFact,
        applies=lambda subject: subject.is_replicated,
        needs_gradient=False,
    ),
    "reference": Probe(
        "comparing with what was loaded",
        lambda subject, _: compared(subject),
        ReferenceFact,
        applies=lambda subject: subject.reference is not None,
        needs_gradient=False,
    ),
    "control": Probe("drawing the model by law", comparison, ControlFact, oddities.of_oddity),
}


DEEP = frozenset(name for name, probe in PROBES.items() if probe.is_deep)
"""Those that run in deep checks only."""


def observed(
    subject: Subject,
    needs: Iterable[str],
    say: Say = lambda _: None,
    *,
    deep: bool = False,
    optimizer: OptimizerFact = UNTOLD,
    profiles: tuple[str, ...] = (),
) -> Trace:
    """The first pass, and those of the probes in ``needs`` that it gives a reason for; ``deep``: expensive ones too."""
    say("one forward and one backward")
    trace = replace(capture(subject), optimizer=optimizer, profiles=profiles)
    known = {name: PROBES[name] for name in PROBES if name in set(needs)}
    wanted = [
        name
        for name, probe in known.items()
        if (deep or not probe.is_deep) and probe.applies(subject) and probe.reason(trace)
    ]
    return probed(trace, subject, wanted, say)


def probed(trace: Trace, subject: Subject, wanted: Iterable[str], say: Say = lambda _: None) -> Trace:
    """Run the probes named, whatever the first pass says."""
    names = set(wanted)
    for name, probe in PROBES.items():
        if name in names and (trace.has_backward or not probe.needs_gradient):
            say(probe.words)
            trace = replace(trace, **{name: _found(probe, subject, trace)})
    return trace


def _found(probe: Probe, subject: Subject, trace: Trace) -> Any:
    try:
        return probe.run(subject, trace)
    except Exception as error:  # as for a rule: a probe that crashes is never the user's problem
        if not probe.can_fail or isinstance(error, StepzeroError):
            raise
        return probe.fact(ran=False, reason=f"{CRASHED}{type(error).__name__}: {' '.join(str(error).split())}")
