"""What if this tensor had been drawn by its law? A copy of the subject with some parameters redrawn."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from stepzero.core.trace import Trace
from stepzero.measure.control import Law, laws
from stepzero.probe.optimizer import optimizer_of
from stepzero.probe.replica import copied_model
from stepzero.probe.restore import preserved_randomness
from stepzero.probe.subject import Subject


def redrawn(subject: Subject, trace: Trace, names: Iterable[str]) -> Subject | None:
    """A copy of ``subject`` whose parameters at ``names`` (parameter or module paths) hold draws of their law.

    None when no parameter with a known law stands there. Raises `ReplicaError` when the model cannot be copied.
    """
    known = laws(trace)
    places = [name for name in names if name]
    chosen = {
        fact.name: known[fact.name]
        for fact in trace.parameters
        if fact.name in known and any(fact.name == place or fact.name.startswith(place + ".") for place in places)
    }
    if not chosen:
        return None
    other = copied(subject)
    redraw_(other, chosen, torch.Generator().manual_seed(0xC0F + subject.seed))
    return other


def copied(subject: Subject) -> Subject:
    """The subject on a copy of its model and batch, which may be written."""
    with preserved_randomness():
        model = copied_model(subject)
    args, kwargs = copy.deepcopy((subject.args, subject.kwargs))
    optimizer = optimizer_of(subject.optimizer, subject.model, dict(model.named_parameters())) or subject.optimizer
    return replace(subject, model=model, args=args, kwargs=kwargs, factory=None, optimizer=optimizer)


def redraw_(copy_: Subject, drawn: Mapping[str, Law], generator: torch.Generator) -> None:
    """Draw the parameters named, in the order of the mapping, into a copy made by `copied`."""
    parameters = dict(copy_.model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, law in drawn.items():
            parameters[name].copy_(_draw(law, parameters[name], generator))


def _draw(law: Law, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    drawn = law.mean + law.std * torch.randn(like.shape, generator=generator, dtype=torch.float32)
    return drawn.to(like.device, like.dtype)
