"""What a repair must know of a model before it writes: one pass, and more where zeros have to be told apart."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from stepzero.core.limits import Limits
from stepzero.core.outcome import Accepted
from stepzero.core.trace import Trace
from stepzero.measure import idioms, suspicion
from stepzero.probe.capture import capture
from stepzero.probe.restore import preserved_randomness, seed_everything
from stepzero.probe.subject import Subject
from stepzero.probe.symmetry import symmetry
from stepzero.probe.wake import wake


def observe(subject: Subject) -> tuple[Trace, Iterable[Accepted]]:
    """The Trace, and what in it is meant to be as it is.

    A zero that is meant wakes; one that never does, or whose units stay copies for ever, is a fault and may be written
    over. Where the first pass cannot tell, virtual steps on a copy do.
    """
    seen = capture(subject)
    if seen.has_backward and any(fact.is_zero and fact.requires_grad for fact in seen.parameters):
        if suspicion.of_copies(seen):
            seen = replace(seen, symmetry=symmetry(subject, seen))
        if suspicion.of_sleep(seen):
            seen = replace(seen, wake=wake(subject, seen, subject.optimizer))
    return seen, tuple(idioms.accepted(seen, Limits()))


def forward(subject: Subject) -> Any:
    """The output of one forward, with the draws that the observing pass had; random state is put back."""
    with preserved_randomness():
        seed_everything(subject.seed)
        return subject.model(*subject.args, **subject.kwargs)
