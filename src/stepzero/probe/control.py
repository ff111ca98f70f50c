"""The control probe: the same modules drawn by law, on the same batch, several times; see `core.control`.

Each draw is one observed forward and backward of a copy. Norms stand at identity, biases at zero, every factor that was
zero is drawn; what no law knows (gates, time constants) keeps its value.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from stepzero.core.control import ControlFact, Draw
from stepzero.core.trace import Operation, Signal, Trace
from stepzero.core.vector import Vector
from stepzero.measure.activations import flat_share, off_share, offset_share
from stepzero.measure.control import Law, laws
from stepzero.measure.rank import entropy_rank
from stepzero.measure.sampling import rows_of
from stepzero.probe.capture import capture
from stepzero.probe.counterfactual import copied, redraw_
from stepzero.probe.nodes import Record
from stepzero.probe.recorder import Recorder
from stepzero.probe.replica import ReplicaError
from stepzero.probe.subject import Subject

DRAWS = 4
_HALF = 0.5
"""A unit is flat when its slope is small at more than half of the positions."""
_FEWEST = 2

Key = tuple[str, int, str, int]
"""Module, its call, operation, which one of that name."""


class Ranking(Recorder):
    """Also keeps the entropy rank of each result, and how often one unit is the largest."""

    def _measure(self, record: Record, tensor: Tensor, flatness: Any = None) -> None:
        super()._measure(record, tensor, flatness)
        if record.forward is not None and record.forward.plan.rows > 1:
            sample_RU = rows_of(tensor, record.forward.plan)
            record.scalars["rank"] = entropy_rank(sample_RU)
            if record.kind == "weighted" and sample_RU.shape[1] > 1:
                record.scalars["winner"] = sample_RU.argmax(1).bincount().max() / len(sample_RU)


def control(subject: Subject, trace: Trace) -> ControlFact:
    """Draw all parameters by their laws `DRAWS` times; never raises because of the model."""
    known = laws(trace)
    if not known:
        return ControlFact(ran=False, reason="no parameter has a law to be drawn by")
    try:
        other = copied(subject)
        own = _draw(trace, capture(other, recorder=Ranking))
        found = tuple(_draws(other, trace, known))
    except ReplicaError as error:
        return ControlFact(ran=False, reason=str(error))
    except Exception as error:  # noqa: BLE001 - the model ran with its own weights: what others break is ours to tell
        why = " ".join(f"{type(error).__name__}: {error}".split())
        return ControlFact(ran=False, reason=f"the model does not run when drawn by law ({why[:160]})")
    if len(found) < _FEWEST:
        return ControlFact(ran=False, reason="the loss is not finite when drawn by law", own=own)
    return ControlFact(ran=True, draws=found, own=own)


def remeasured(subject: Subject, trace: Trace, before: ControlFact) -> ControlFact:
    """The record for the same modules with other weights: their draws by law are the same."""
    return replace(before, own=_draw(trace, capture(subject, recorder=Ranking)))


def _draws(other: Subject, trace: Trace, known: dict[str, Law]) -> Iterator[Draw]:
    for number in range(DRAWS):
        redraw_(other, known, torch.Generator().manual_seed(0xC0D1 + number + DRAWS * other.seed))
        drawn = _draw(trace, capture(other, recorder=Ranking))
        if math.isfinite(drawn.loss):
            yield drawn


def _draw(trace: Trace, seen: Trace) -> Draw:
    """Read what was seen at the places of ``trace``: other routes may be taken by other weights."""
    there = dict(zip(_keys(seen), seen.operations, strict=True))
    pairs = [there.get(key) for key in _keys(trace)]
    gradients = {fact.name: fact.gradient.norm for fact in seen.parameters if fact.gradient is not None}
    loss = next((each for each in reversed(seen.operations) if each.kind == "loss"), None)
    attributes = loss.attributes if loss is not None else {}
    return Draw(
        loss=math.nan if seen.loss.value is None else seen.loss.value,
        forward=Vector.of(each.forward.rms if each and each.forward else math.nan for each in pairs),
        backward=Vector.of(each.backward.rms if each and each.backward else math.nan for each in pairs),
        flat=Vector.of(flat_share(each, _HALF) if (each := _sloped(pair)) else math.nan for pair in pairs),
        off=Vector.of(off_share(each) if (each := _sloped(pair)) else math.nan for pair in pairs),
        rank=Vector.of(_number(each.attributes.get("rank")) if each else math.nan for each in pairs),
        offset=Vector.of(offset_share(each.forward) if each and each.forward else math.nan for each in pairs),
        winner=Vector.of(_number(each.attributes.get("winner")) if each else math.nan for each in pairs),
        gradients=Vector.of(gradients.get(fact.name, math.nan) for fact in trace.parameters),
        top_share=_known(attributes.get("top_share")),
        confidence=_known(attributes.get("confidence")),
    )


def _keys(trace: Trace) -> list[Key]:
    counted: dict[tuple[str, int, str], int] = {}
    keys = []
    for operation in trace.operations:
        place = (operation.module, operation.call, operation.name)
        counted[place] = counted.get(place, 0) + 1
        keys.append((*place, counted[place]))
    return keys


def _sloped(operation: Operation | None) -> Signal | None:
    """The signal of an activation of which the slopes are known."""
    signal = operation.forward if operation is not None else None
    return signal if signal is not None and len(signal.off_share) else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _known(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
