"""Does the first pass give a reason to draw the model by law for comparison? That costs several training steps.

One function a kind of oddity; each is looser than the rule that asks, which compares with the draws. `stands_out` asks
again when the model's own numbers, and a first draw, are known: most oddities are those of the architecture.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from stepzero.core.control import Draw
from stepzero.core.limits import Limits
from stepzero.core.trace import Operation, Signal, Trace
from stepzero.core.vector import Vector
from stepzero.measure.activations import offset_share
from stepzero.measure.heads import num_targets
from stepzero.measure.local_gain import odd_slopes, slopes_in
from stepzero.measure.routing import routers
from stepzero.measure.signal import projector
from stepzero.measure.suspicion import tensor_of
from stepzero.measure.uses import before, weight_use

_FLATTENED, _FULL = 2.8, 3.0
"""Directions that four projections show of a response: up to 2.7 of three, 3.2 and more of a dozen."""
_LOST = 0.65
"""Of these directions, from what a layer reads to its responses: four projections stray by half of one."""
_FEWEST = 16
"""Units and positions below which few directions are what there is."""
_ENTRIES, _HALF = 8, 0.5
"""Batch entries that a spread needs; share of units that are most of them."""
_ONE_CLASS, _SURE = 0.9, 4.0
"""Share of the samples that one class wins; probability of the likeliest class, of that of a blind guess."""
_SLACK = 2.0
"""How much the median of several draws may differ from one of them."""


def of_oddity(trace: Trace) -> str:
    """Why the model may behave unlike others of its shape; empty when nothing is odd."""
    return next((why for _, why in _oddities(trace)), "")


def odd_operations(trace: Trace) -> frozenset[int]:
    """The operations of which something is odd, and what they read: where a comparison has to look."""
    return frozenset(
        place.index
        for operation, _ in _oddities(trace)
        for place in (operation, before(trace, operation))
        if place is not None
    )


def _oddities(trace: Trace) -> Iterator[tuple[Operation, str]]:
    """Each operation that is odd, and in words why."""
    if trace.has_backward:
        for kind in (_of_few_directions, _of_one_winner, _of_offset, _of_router, _of_slope):
            yield from kind(trace)


def _of_few_directions(trace: Trace) -> Iterator[tuple[Operation, str]]:
    """Some layer's responses lie in few directions, and what it reads does not."""
    for operation in trace.weighted():
        use, directions = weight_use(operation), directions_of(operation)
        if use is None or directions is None or directions >= _FLATTENED:
            continue
        source = before(trace, operation)
        if source is not None and (directions_of(source) or 0.0) > max(_FULL, directions + _LOST):
            yield operation, f"responses of {use.parameter} lie in few directions"


def directions_of(operation: Operation) -> float | None:
    """Entropy rank, 1 to 4, of what four random projections keep of the centred responses; None where few exist."""
    signal = operation.forward
    if signal is None or signal.nonfinite:
        return None
    if min(signal.units, signal.rows) < _FEWEST or not signal.projections:
        return None
    prints_KU = _centred(signal)
    values = torch.linalg.eigvalsh(prints_KU @ prints_KU.T).clamp_min(0)
    total = float(values.sum())
    if total == 0.0:
        return 0.0
    return float(torch.exp(torch.special.entr(values / total).sum()))


def _centred(signal: Signal) -> Tensor:
    """[K, U] fingerprints less what the mean responses add to them."""
    prints_KU = tensor_of(signal.fingerprint).view(-1, signal.units)
    sums = projector(signal.rows, torch.device("cpu"), torch.float64)[1:].sum(1, keepdim=True)
    return prints_KU - sums * tensor_of(signal.unit_mean)


def _of_offset(trace: Trace) -> Iterator[tuple[Operation, str]]:
    """Most units in front of some activation hardly vary beside their mean."""
    for operation in trace.weighted():
        use, signal = weight_use(operation), operation.forward
        reader = trace.operations[operation.consumer_index] if operation.consumer_index is not None else None
        if use is None or signal is None or signal.samples < _ENTRIES or reader is None or reader.kind != "activation":
            continue
        if offset_share(signal) > _HALF:
            yield operation, f"most units of {use.parameter} hardly vary beside their mean"


def _of_router(trace: Trace) -> Iterator[tuple[Operation, str]]:
    """One expert's logit lies above the others' at nearly all positions, as far as means and deviations tell."""
    for router in routers(trace):
        signal, use = router.forward, weight_use(router)
        if signal is None or use is None or signal.units < 2:
            continue
        mean, square = signal.unit_mean.unpack(), signal.unit_square.unpack()
        best = max(range(signal.units), key=mean.__getitem__)
        spread = [math.sqrt(max(0.0, s - m * m)) for m, s in zip(mean, square, strict=True)]
        ahead = (
            mean[best] - mean[each] > math.hypot(spread[best], spread[each])
            for each in range(signal.units)
            if each != best
        )
        if all(ahead):
            yield router, f"one unit of the router {use.parameter} is ahead of all others"


def _of_slope(trace: Trace) -> Iterator[tuple[Operation, str]]:
    """What lies between two layers lets next to nothing of the gradient through, or multiplies it."""
    for pair in odd_slopes(trace):
        for operation in (pair.second, pair.first):
            yield operation, f"the gradient changes oddly in front of {pair.use.parameter}"


def _of_one_winner(trace: Trace) -> Iterator[tuple[Operation, str]]:
    """Nearly every sample is put into one class, and surely."""
    loss = next((each for each in reversed(trace.operations) if each.kind == "loss"), None)
    share, sure, classes = (
        loss.attributes.get(key) if loss is not None else None for key in ("top_share", "confidence", "num_classes")
    )
    if loss is None or not isinstance(share, float) or not isinstance(sure, float) or not isinstance(classes, int):
        return
    if (num_targets(trace, loss) or 0.0) < Limits().winner_min_samples:
        return
    if share > _ONE_CLASS and sure * classes > _SURE:
        yield loss, f"one class wins {share:.0%} of the samples"


def stands_out(trace: Trace, own: Draw, drawn: Draw | None, limits: Limits) -> bool:
    """Whether a rule could still speak: by the model's own numbers alone, or beside those of one draw by law."""
    loss = next((each for each in reversed(trace.operations) if each.kind == "loss"), None)
    classes = loss.attributes.get("num_classes") if loss is not None else None
    if own.top_share is not None and own.confidence is not None and isinstance(classes, int):
        usual = drawn.top_share if drawn is not None and drawn.top_share is not None else 0.0
        is_sure = own.top_share > limits.winner_share and own.confidence * classes > limits.winner_sure
        is_sure = is_sure and loss is not None and (num_targets(trace, loss) or 0.0) >= limits.winner_min_samples
        if is_sure and usual < min(own.top_share, _SLACK * limits.winner_control):
            return True
    if any(_is_winner(router, own, drawn, limits) for router in routers(trace)):
        return True
    if _has_other_slopes(trace, drawn, limits):
        return True
    return any(
        _is_low(trace, operation, own, drawn, limits) or _is_offset(trace, operation, own, drawn, limits)
        for operation in trace.weighted()
    )


def _is_low(trace: Trace, operation: Operation, own: Draw, drawn: Draw | None, limits: Limits) -> bool:
    """Whether the responses lie in much fewer directions than the draw's, or than there could be."""
    signal, rank = operation.forward, _at(own.rank, operation.index)
    if signal is None or math.isnan(rank) or rank == 0.0:
        return False
    usual = float(min(signal.rows - 1, signal.units)) if drawn is None else _at(drawn.rank, operation.index)
    slack = 1.0 if drawn is None else _SLACK
    if not (usual >= limits.rank_min and rank < usual and rank < limits.rank_ratio * slack * usual):
        return False
    source = before(trace, operation)
    if source is None or source.kind in ("product", "attention"):
        return False
    if drawn is None:
        return True
    return _SLACK * _at(own.rank, source.index) >= limits.rank_of_input * _at(drawn.rank, source.index)


def _is_offset(trace: Trace, operation: Operation, own: Draw, drawn: Draw | None, limits: Limits) -> bool:
    signal, place = operation.forward, operation.index
    reader = trace.operations[operation.consumer_index] if operation.consumer_index is not None else None
    if signal is None or signal.samples < limits.offset_min_samples or reader is None or reader.kind != "activation":
        return False
    usual = _at(drawn.offset, place) if drawn is not None else 0.0
    return _at(own.offset, place) > limits.offset_share and usual <= _SLACK * limits.offset_control


def _has_other_slopes(trace: Trace, drawn: Draw | None, limits: Limits) -> bool:
    """Whether the slope of some map between two layers is unlike the draw's."""
    odd = odd_slopes(trace)
    if drawn is None:
        return bool(odd)
    usual = slopes_in(trace, odd, drawn)
    ratios = (odd[pair] / slope for pair, slope in usual.items() if slope > 0.0)
    return any(max(ratio, 1 / ratio) * _SLACK > limits.local_gain for ratio in ratios)


def _is_winner(router: Operation, own: Draw, drawn: Draw | None, limits: Limits) -> bool:
    usual = _at(drawn.winner, router.index) if drawn is not None else 0.0
    return _at(own.winner, router.index) > limits.router_share and usual < _at(own.winner, router.index)


def _at(vector: Vector, place: int) -> float:
    return vector[place] if place < len(vector) else math.nan
