"""The isolation probe: replace one sample, or all later tokens, and see whose results change.

Works on a Replica in evaluation mode, in float64, so that what changes at all changes for a reason. A sample is
replaced by another one of the batch, which is always a valid one. Positions are only looked at where the loss itself
makes a causal claim: its targets are the tokens of an input, one place further on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from stepzero.core.isolation import IsolationFact, Leak
from stepzero.core.trace import Trace
from stepzero.probe.aims import NextToken, next_token
from stepzero.probe.capture import module_path
from stepzero.probe.loss import main_output
from stepzero.probe.replica import Replica, ReplicaError
from stepzero.probe.slices import Slices, changed, first_changed
from stepzero.probe.subject import Parts, Subject
from stepzero.probe.uses import flat_tensors

_SEQUENCE = 3
"""Axes of an input in which a sample is more than one row."""
SAME = 1e-9
"""Relative change that counts as none: float64 sums of a few million terms."""


def isolate(subject: Subject, trace: Trace) -> IsolationFact:
    """Look for leaks between samples, and from later positions into earlier ones; never raises because of the model."""
    try:
        replica = Replica(subject)
        claim = next_token(replica, subject)
        replica.evaluate()
        found = _between_samples(replica, trace)
        if claim is None:
            return IsolationFact(ran=True, **found)
        return IsolationFact(ran=True, **found, claim=claim.name, future=_from_the_future(replica, claim))
    except ReplicaError as error:
        return IsolationFact(ran=False, reason=str(error))


@dataclass(frozen=True, slots=True)
class _Pair:
    """One forward with the batch as it is, and one with a part of it replaced."""

    first: Slices
    second: Slices
    output: Tensor
    other: Tensor

    def leak(self, untouched: Tensor) -> Leak | None:
        """What changed of the slices that ``untouched`` selects."""
        change = changed(self.output, self.other, self.first.axis)[untouched]
        if not bool((change > SAME).any()):
            return None
        name, kind, module = first_changed(self.first, self.second, untouched, SAME)
        return Leak(float(change.max()), int((change > SAME).sum()), int(untouched.sum()), name, kind, module)


def _between_samples(replica: Replica, trace: Trace) -> dict[str, Any]:
    size = trace.batch_size or _leading(replica)
    if size is None or size < 2:
        return {"why_no_samples": "the batch has one sample, or its tensors have no axis in common"}
    output = main_output(replica.respond(*replica.inputs()))
    if not output.dim() or output.shape[0] != size:
        return {"why_no_samples": f"the output has no axis of {size} samples in front"}
    found: dict[str, Any] = {
        "why_no_samples": "",
        "is_contrast": output.dim() > 1 and output.shape[1] == size and output.dim() == 2,
        "is_set": all(len(fact.shape) < _SEQUENCE for fact in trace.inputs if fact.is_float),
        "is_linked": trace.batch_size is None,
    }
    for place in (0, size - 1):
        pair = _pair(replica, 0, size, partial(_with_another_row, place=place, size=size))
        if torch.equal(pair.output, pair.other) and _is_as_before(replica, place, size):
            return {"why_no_samples": "all samples are equal"}
        untouched = torch.arange(size) != place
        leak = pair.leak(untouched)
        is_deaf = bool(changed(pair.output, pair.other, 0)[place] <= SAME) and _differ(pair.output, place, size)
        if leak is not None or is_deaf:
            return {**found, "samples": leak, "is_deaf": is_deaf}
    return found


def _differ(output: Tensor, place: int, size: int) -> bool:
    """Whether a sample and the one that replaces it have different results of their own.

    Behind a zero head all have the same one, and so have samples for which every unit is off.
    """
    one, other = output[place : place + 1], output[_other(place, size)].unsqueeze(0)
    return bool((changed(one, other, 0) > SAME).any())


def _from_the_future(replica: Replica, claim: NextToken) -> Leak | None:
    """Replace the second half of the tokens; results at earlier positions must stay as they are."""
    middle = claim.length // 2

    def later(tensor: Tensor) -> Tensor:
        return _with_another_end(tensor, middle) if claim.is_it(tensor) else tensor

    output = main_output(replica.respond(*replica.inputs()))
    if output.dim() < _SEQUENCE or output.shape[1] != claim.length:
        return None  # pooled, or flattened: which result belongs to which position cannot be told
    pair = _pair(replica, 1, claim.length, later)
    return pair.leak(torch.arange(claim.length) < middle)


def _pair(replica: Replica, axis: int, size: int, change: Callable[[Tensor], Tensor]) -> _Pair:
    watches = [Slices(replica.model, axis, size) for _ in range(2)]
    args, kwargs = replica.inputs()
    outputs = []
    for parts, watch in zip(((args, kwargs), mapped((args, kwargs), change)), watches, strict=True):
        with module_path(watch):
            outputs.append(main_output(replica.respond(*parts, watch=watch)).detach())
    return _Pair(watches[0], watches[1], outputs[0], outputs[1])


def _leading(replica: Replica) -> int | None:
    """Length of the first axis of the first float tensor of the batch, where its tensors do not agree on one."""
    return next((len(tensor) for tensor in _tensors(replica) if tensor.dim() > 1), None)


def _tensors(replica: Replica) -> list[Tensor]:
    args, kwargs = replica.inputs()
    return flat_tensors((*args, *kwargs.values()))


def _is_as_before(replica: Replica, place: int, size: int) -> bool:
    """Whether replacing the sample leaves the batch as it is."""
    return all(torch.equal(each, _with_another_row(each, place=place, size=size)) for each in _tensors(replica))


def _with_another_row(tensor: Tensor, *, place: int, size: int) -> Tensor:
    """The sample at ``place`` replaced by the one that stands half a batch further on."""
    if not tensor.dim() or len(tensor) != size or tensor.layout != torch.strided:
        return tensor
    other = tensor.clone()
    other[place] = tensor[_other(place, size)]
    return other


def _other(place: int, size: int) -> int:
    return (place + max(1, size // 2)) % size


def _with_another_end(tensor: Tensor, start: int) -> Tensor:
    """Tokens from ``start`` on taken from the next sample, or the same ones in reverse order."""
    other, end = tensor.clone(), tensor[:, start:]
    swapped = end.roll(1, 0)
    other[:, start:] = end.flip(1) if torch.equal(swapped, end) else swapped
    return other


def mapped(parts: Parts | tuple[Any, Any], change: Callable[[Tensor], Tensor]) -> tuple[Any, Any]:
    """Arguments with every tensor changed, whatever holds it."""

    def each(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value)
        if isinstance(value, dict):
            return {key: each(item) for key, item in value.items()}
        return type(value)(each(item) for item in value) if type(value) in (list, tuple) else value

    return each(parts[0]), each(parts[1])
