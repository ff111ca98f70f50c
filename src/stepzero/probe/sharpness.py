"""The sharpest direction of the loss, by power iteration on differences of gradients in float64.

Differences of gradients need no second derivative of any kernel: fused attention has none. Each parameter counts with
its own learning rate, so that the eigenvalue is that of one step, and 2 is where gradient descent overshoots.
"""

import math

import torch
from torch import Tensor

from stepzero.core.landscape import SharpnessFact
from stepzero.core.trace import Trace
from stepzero.probe.replica import Replica, ReplicaError
from stepzero.probe.subject import Subject

ROUNDS = 20
_SETTLED = 0.001
"""Relative change from round to round at which the eigenvalue is known well enough."""
_SMALL = 1e-6
"""Length of a probing step over that of the weights: far above float64's rounding, far below a change of regime."""
_PLAIN = frozenset(["sgd", "asgd"])
_TOLD = 0.1
Point = dict[str, Tensor]


def sharpness(subject: Subject, trace: Trace) -> SharpnessFact:
    """Learning rate x curvature in the sharpest direction; never raises because of the model."""
    told = trace.optimizer
    if trace.loss.origin == "surrogate" or told.name.lower() not in _PLAIN or not told.lr:
        return SharpnessFact(ran=False, reason="the limit of a step is known for a loss, plain SGD and its rate")
    try:
        replica = Replica(subject)
        rates = {name: math.sqrt(told.rate_of(name) or 0.0) for name in replica.trainable}
        value, vector = _largest(replica, rates, subject.seed)
    except ReplicaError as error:
        return SharpnessFact(ran=False, reason=str(error))
    if not math.isfinite(value):
        return SharpnessFact(ran=False, reason="a gradient is not finite")
    shares = {name: float(part.square().sum()) for name, part in vector.items()}
    ranked = sorted(shares.items(), key=lambda each: -each[1])
    loudest = tuple(each for each in ranked if each[1] > _TOLD) or (ranked[0],)
    return SharpnessFact(ran=True, value=value, optimizer=told.name, parameters=loudest)


def _largest(replica: Replica, rates: dict[str, float], seed: int) -> tuple[float, Point]:
    """Largest eigenvalue of D H D with D the roots of the rates, and its unit eigenvector."""
    start, _ = replica.run(0, loss_only=True)
    names = [name for name, each in start.items() if each is not None and rates[name] > 0]
    generator = torch.Generator().manual_seed(0x5EE + seed)
    vector = _normed({name: _drawn(replica.start_of(name), generator) for name in names})
    size = math.sqrt(sum(float(replica.start_of(name).square().sum()) for name in names))
    value = 0.0
    for _ in range(ROUNDS):
        last = value
        length = _SMALL * max(size, 1.0) / max(1e-300, _norm({name: rates[name] * vector[name] for name in names}))
        replica.reset()
        replica.write({name: replica.start_of(name) + length * rates[name] * vector[name] for name in names})
        there, _ = replica.run(0, loss_only=True)
        product = {name: rates[name] * _gap(there[name], start[name]) / length for name in names}
        value = sum(float((vector[name] * product[name]).sum()) for name in names)
        if not 0 < _norm(product) < math.inf or abs(value - last) < _SETTLED * abs(value):
            break
        vector = _normed(product)
    replica.reset()
    return value, vector


def _drawn(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.device)


def _gap(one: Tensor | None, other: Tensor | None) -> Tensor:
    assert other is not None
    return -other if one is None else one - other


def _norm(point: Point) -> float:
    return math.sqrt(sum(float(part.square().sum()) for part in point.values()))


def _normed(point: Point) -> Point:
    size = _norm(point)
    return {name: part / size for name, part in point.items()} if size else point
