"""One real step of the user's own optimizer, on a copy: does the loss fall, or does the step throw it up?

Costs one forward and backward and one more forward; where the loss rises, a few forwards more say whose step it was.
"""

import math
from typing import Any

import torch
from torch import Tensor

from stepzero.core.landscape import StepFact
from stepzero.core.trace import Trace
from stepzero.probe.optimizer import named, optimizer_of
from stepzero.probe.replica import Gradients, Replica, ReplicaError
from stepzero.probe.subject import Subject

_TRIED = 4
"""Parameters whose own step is tried alone, those that move most first."""


def first_step(subject: Subject, trace: Trace) -> StepFact:
    """Take the step; never raises because of the model or the optimizer."""
    if trace.loss.origin == "surrogate":
        return StepFact(ran=False, reason="no loss was given: what a step does to it cannot be said")
    try:
        replica = Replica(subject, as_is=True)
        optimizer = _optimizer(subject, trace, replica)
        if optimizer is None:
            return StepFact(ran=False, reason=f"{trace.optimizer.name} cannot be made for a copy of the model")
        gradients, _ = replica.run(0, loss_only=True)
        replica.reset()
        before = replica.loss()
        moved = _stepped(replica, optimizer, gradients)
        if moved is None:
            return StepFact(ran=False, reason=f"{trace.optimizer.name} does not step by gradients alone")
        replica.write(moved)
        after = replica.loss()
        alone = _alone(replica, moved) if not after <= before else ()
    except ReplicaError as error:
        return StepFact(ran=False, reason=str(error))
    return StepFact(
        ran=True,
        optimizer=trace.optimizer.name,
        lr=trace.optimizer.lr or 0.0,
        before=before,
        after=after,
        alone=alone,
    )


def _optimizer(subject: Subject, trace: Trace, replica: Replica) -> Any:
    """The user's own over the copy's parameters, or one of torch's that is named and has a rate."""
    given, rate = subject.optimizer, trace.optimizer.lr
    if given is None or isinstance(given, str | type):
        kind = given if isinstance(given, type) else named(given or "SGD")
        try:
            return kind(list(replica.trainable.values()), lr=rate) if kind is not None else None
        except (TypeError, ValueError, RuntimeError):  # an optimizer that needs more than a learning rate
            return None
    made = optimizer_of(given, subject.model, replica.parameters)
    for group in made.param_groups if made is not None else ():
        own = given.param_groups[0].get("lr")
        if rate is not None and isinstance(own, int | float) and own and isinstance(group.get("lr"), int | float):
            group["lr"] *= rate / own  # a rate given by hand scales all groups
    return made


def _stepped(replica: Replica, optimizer: Any, gradients: Gradients) -> dict[str, Tensor] | None:
    """Values after the step; the copy goes back to the start. None where the optimizer wants more than gradients."""
    for name, parameter in replica.trainable.items():
        gradient = gradients.get(name)
        parameter.grad = None if gradient is None else gradient.to(parameter.dtype)
    try:
        optimizer.step()
    except (TypeError, RuntimeError):  # a closure, sparse gradients
        return None
    finally:
        for parameter in replica.trainable.values():
            parameter.grad = None
    moved = {name: value for name, value in replica.state().items() if not torch.equal(value, replica.start_of(name))}
    replica.reset()
    return moved


def _alone(replica: Replica, moved: dict[str, Tensor]) -> tuple[tuple[str, float], ...]:
    """Loss after the steps of single parameters, those that move most beside their size."""

    def relative(name: str) -> float:
        start, step = replica.start_of(name), moved[name] - replica.start_of(name)
        return float(step.norm() / start.norm().clamp_min(1e-12)) * math.sqrt(start.numel())

    found = []
    for name in sorted(moved, key=relative, reverse=True)[:_TRIED]:
        replica.reset()
        replica.write({name: moved[name]})
        found.append((name, replica.loss()))
    return tuple(sorted(found, key=lambda each: -math.inf if math.isnan(each[1]) else -each[1]))
