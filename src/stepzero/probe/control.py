"""The control probe: the same modules drawn by law, on the same batch, several times; see `core.control`.

Each draw is one observed pass of a copy. Norms stand at identity, biases at zero, every factor that was zero is drawn;
what no law knows (gates, time constants) keeps its value. When the first pass gave a reason, only what rules compare is
measured, without a backward if no gradient is odd, and no more draws are made than it takes to see that nothing stands
out.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from stepzero.core.control import ControlFact, Draw
from stepzero.core.limits import Limits
from stepzero.core.trace import Operation, Signal, Trace
from stepzero.core.vector import Vector
from stepzero.measure.activations import flat_share, off_share, offset_share
from stepzero.measure.control import Law, laws
from stepzero.measure.local_gain import odd_slopes
from stepzero.measure.oddities import odd_operations, stands_out
from stepzero.measure.rank import entropy_rank
from stepzero.measure.sampling import rows_of
from stepzero.measure.uses import before
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

Place = tuple[str, int, str]
"""Module, its call, operation."""
Key = tuple[str, int, str, int]
"""The same, and which one of that name."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """Where rules compare."""

    places: frozenset[Place]
    arriving: frozenset[Place] = frozenset()
    """Those of them where it is the gradient, too."""


class Ranking(Recorder):
    """Also keeps the entropy rank of each result, and how often one unit is the largest."""

    def _measure(self, record: Record, tensor: Tensor, flatness: Any = None) -> None:
        super()._measure(record, tensor, flatness)
        if record.forward is not None and record.forward.plan.rows > 1:
            sample_RU = rows_of(tensor, record.forward.plan)
            record.scalars["rank"] = entropy_rank(sample_RU)
            if record.kind == "weighted" and sample_RU.shape[1] > 1:
                record.scalars["winner"] = sample_RU.argmax(1).bincount().max() / len(sample_RU)


class Comparing(Ranking):
    """Measures what rules compare, at the places where they do; gradients where rules ask for them."""

    def __init__(self, *rest: Any, compared: _Compared) -> None:
        super().__init__(*rest)
        self._compared = compared

    def _measure(self, record: Record, tensor: Tensor, _: Any = None) -> None:
        if (record.module, record.call, record.name) in self._compared.places:
            super()._measure(record, tensor, None)

    def _read_sharpness(self, *_: Any) -> None:
        return None

    def _flatness(self, *_: Any) -> None:
        return None

    def _hook(self, record: Record, *rest: Any) -> None:
        if (record.module, record.call, record.name) in self._compared.arriving:
            super()._hook(record, *rest)


def comparison(subject: Subject, trace: Trace) -> ControlFact:
    """`control` as far as rules need it; all of it where the first pass shows nothing odd and somebody asked for it."""
    odd = odd_operations(trace)
    return _control(subject, trace, _compared(trace, odd) if odd else None)


def control(subject: Subject, trace: Trace, *, is_brief: bool = False) -> ControlFact:
    """Draw all parameters by their laws `DRAWS` times; never raises because of the model.

    ``is_brief``: stop as soon as no rule could find the model unlike the draws; two are needed to find it so.
    """
    return _control(subject, trace, _compared(trace, odd_operations(trace)) if is_brief else None)


def _control(subject: Subject, trace: Trace, compared: _Compared | None) -> ControlFact:
    is_brief = compared is not None
    known = laws(trace)
    if not known:
        return ControlFact(ran=False, reason="no parameter has a law to be drawn by")
    try:
        own = _draw(trace, _seen(subject, compared and replace(compared, arriving=frozenset())))
        if is_brief and not stands_out(trace, own, None, Limits()):
            return ControlFact(ran=True, own=own)
        found = tuple(_draws(copied(subject), trace, known, compared, own if is_brief else None))
    except ReplicaError as error:
        return ControlFact(ran=False, reason=str(error))
    except Exception as error:  # noqa: BLE001 - the model ran with its own weights: what others break is ours to tell
        why = " ".join(f"{type(error).__name__}: {error}".split())
        return ControlFact(ran=False, reason=f"the model does not run when drawn by law ({why[:160]})")
    if len(found) < _FEWEST and not (is_brief and found):
        return ControlFact(ran=False, reason="the loss is not finite when drawn by law", own=own)
    return ControlFact(ran=True, draws=found, own=own)


def remeasured(subject: Subject, trace: Trace, earlier: ControlFact) -> ControlFact:
    """The record for the same modules with other weights: their draws by law are the same."""
    return replace(earlier, own=_draw(trace, _seen(subject, _Compared(_places(trace, odd_operations(trace))))))


def _seen(subject: Subject, compared: _Compared | None) -> Trace:
    """Look at these places alone, with a backward where one is needed; at all of them, with one, if none are named."""
    if compared is None:
        return capture(subject, recorder=Ranking)
    return capture(subject, recorder=partial(Comparing, compared=compared), backward=bool(compared.arriving))


def _compared(trace: Trace, odd: frozenset[int]) -> _Compared:
    """The odd operations, and the gradients in front of and behind odd maps."""
    ends = [each for pair in odd_slopes(trace) for each in (pair.first, pair.second)]
    return _Compared(_places(trace, odd), frozenset((each.module, each.call, each.name) for each in ends))


def _places(trace: Trace, odd: frozenset[int]) -> frozenset[Place]:
    """Where rules compare: at the operations that are odd, or everywhere if none is."""
    compared = [trace.operations[place] for place in odd] or _comparable(trace)
    return frozenset((each.module, each.call, each.name) for each in compared)


def _comparable(trace: Trace) -> Iterator[Operation]:
    """Where rules compare: weighted operations and what they read."""
    for operation in trace.weighted():
        yield operation
        if (source := before(trace, operation)) is not None:
            yield source


def _draws(
    other: Subject, trace: Trace, known: dict[str, Law], compared: _Compared | None, own: Draw | None
) -> Iterator[Draw]:
    """With ``own`` the first draw that it does not stand out from is the last."""
    for number in range(DRAWS):
        redraw_(other, known, torch.Generator().manual_seed(0xC0D1 + number + DRAWS * other.seed))
        drawn = _draw(trace, _seen(other, compared))
        if math.isfinite(drawn.loss):
            yield drawn
            if own is not None and not stands_out(trace, own, drawn, Limits()):
                return


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
