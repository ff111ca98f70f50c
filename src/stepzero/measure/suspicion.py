"""Does the first pass give a reason to run a probe? Float32 and few projections: enough to doubt, never to judge."""

import bisect
import itertools
import math

import torch
from torch import Tensor

from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.trace import Operation, ParameterUse, Signal, Trace
from stepzero.core.vector import Vector
from stepzero.measure.cancelled import cancelled
from stepzero.measure.redundancy import directions, equal_groups
from stepzero.measure.signal import PROJECTIONS
from stepzero.measure.uses import WEIGHTS, weight_use

_ALIKE = 1e-4
"""Relative difference of two float32 fingerprints that could be one; four numbers agree so by chance in 1e-12."""
_CLOSE, _FLOOR = 2e-4, 0.02
"""The same once the directions that all units share count no more than others, down to this share of the largest:
rounding of 1e-6 becomes 5e-5."""
Weighted = tuple[Operation, ParameterUse]
_PAIR = 2
_BETWEEN = frozenset(["view", "dropout", "norm"])
"""What may lie between a norm, or a weighted operation that one reads, and the activation of their units."""
_OF_ONE_LAYER = 2
"""Weights of a recurrent layer: one for the input, one for the state."""
_SILENT = 1e-4
"""Of what arrives at the output: a norm over one element multiplies rounding by 1 / sqrt(eps)."""


def of_copies(trace: Trace) -> str:
    """Why two units of this model may be copies; empty when the first pass tells all of them apart."""
    if not trace.has_backward:
        return ""
    alike = look_alikes(trace)
    return f"units of {alike[0][1].parameter} respond alike" if alike else of_hidden_copies(trace)


def look_alikes(trace: Trace) -> list[Weighted]:
    """Operations of which some units cannot be told apart by what the first pass saw, in their order."""
    operations = [(operation, use) for operation in trace.weighted() if (use := weight_use(operation)) is not None]
    return [operations[place] for place in _look_alikes([operation for operation, _ in operations])]


def of_hidden_copies(trace: Trace) -> str:
    """Why there may be copies that do not respond alike in one operation; empty without a reason."""
    return of_hidden_units(trace) or _of_tokens(trace)


def of_hidden_units(trace: Trace) -> str:
    """Why units of weights may be such copies."""
    operations = [(operation, use) for operation in trace.weighted() if (use := weight_use(operation)) is not None]
    for operation, use in operations:
        if operation.consumer == "norm" and _has_equal_gradients(operation.backward):
            return f"units of {use.parameter} get one gradient, and the norm behind them hides a bias"
        if found := _equal_below(trace, operation):
            return f"units of {found} get gradients of one size"
    names = repeated(trace)
    return f"{names[0]} and {names[1]} hold the same numbers" if names else ""


def _of_tokens(trace: Trace) -> str:
    """Why rows of learned tables may be."""
    for fact in trace.parameters:
        if fact.repeated_rows and fact.requires_grad:
            return f"{fact.repeated_rows} rows of {fact.name} are equal to another one"
    return ""


def _look_alikes(operations: list[Operation]) -> list[int]:
    """The operations with two units that respond equally, or by multiples that their gradients do not part.

    Units that are zero count, unless all of a weight are and something tells them apart: their gradients, or that
    each is an output of its own. (Classes absent from a batch get one gradient under a zero head, and only there.)
    All operations are sorted together, because a sort of few numbers costs as much as one of many.
    """
    found, seen = list[int](), dict[int, Signal]()
    for place, operation in enumerate(operations):
        signal = operation.forward
        if signal is None or not _has_prints(signal, signal.units) or signal.units < _PAIR:
            continue
        seen[place] = signal
        is_zero_U = tensor_of(signal.unit_square) == 0
        if int(is_zero_U.sum()) >= _PAIR and not (bool(is_zero_U.all()) and _are_told_apart(operation)):
            found.append(place)
    evened = dict(zip(seen, _evened(list(seen.values())), strict=True))
    live = {place: (responses_UK != 0).any(1) for place, responses_UK in evened.items()}
    responses = {place: responses_UK[live[place]] for place, responses_UK in evened.items()}
    arriving = {
        place: signal
        for place in seen
        if (signal := operations[place].backward) is not None and _has_prints(signal, seen[place].units)
    }
    gradients = dict(zip(arriving, _evened(list(arriving.values())), strict=True))
    heard = {place: gradients_UK[live[place]] for place, gradients_UK in gradients.items()}
    unheard = {place: each for place, each in responses.items() if place not in heard}
    pools = [
        (responses, _joined(responses)),
        ({place: responses[place] for place in heard}, _told_by_both(responses, heard)),
        (unheard, _directed(_joined(unheard))),
    ]
    for pool, prints_UK in pools:
        places, lengths = list(pool), torch.tensor([len(each) for each in pool.values()])
        ends = lengths.cumsum(0).tolist()
        found += [places[bisect.bisect_right(ends, group[0])] for group in equal_groups(prints_UK, _CLOSE, lengths)]
    return sorted(set(found))


def _has_prints(signal: Signal, units: int) -> bool:
    """Whether fingerprints of so many units were taken, all of them finite."""
    return not signal.nonfinite and bool(signal.projections) and signal.units == units


def _joined(pool: dict[int, Tensor]) -> Tensor:
    """[all units, K + 1], operation after operation."""
    return torch.cat(list(pool.values())) if pool else torch.zeros(0, PROJECTIONS + 1, dtype=torch.float64)


def _told_by_both(responses: dict[int, Tensor], heard: dict[int, Tensor]) -> Tensor:
    """[all units, 2 (K + 1)] directions of the responses, and of the gradients that arrive; zero where none does."""
    return torch.cat([_directed(_joined({place: responses[place] for place in heard})), _directed(_joined(heard))], 1)


def _directed(prints_UK: Tensor) -> Tensor:
    """The direction of each row; rows of zeros stay."""
    found_UK, is_there_U = prints_UK.clone(), (prints_UK != 0).any(1)
    found_UK[is_there_U] = directions(prints_UK[is_there_U])
    return found_UK


def _evened(signals: list[Signal]) -> list[Tensor]:
    """[U, K + 1] mean and fingerprints of each unit, by principal axes, each divided by its size over all units.

    A linear map of all responses keeps what is equal and what is a multiple. This one makes the directions in which
    units differ as large as those that they share: pooled features of one batch hardly differ, and 1,000 classes that
    read them look alike by chance. Signals of as many units are worked out together.
    """
    alike: dict[int, list[int]] = {}
    for place, signal in enumerate(signals):
        alike.setdefault(signal.units, []).append(place)
    found: dict[int, Tensor] = {}
    for units, places in alike.items():
        data = b"".join(signals[place].unit_mean.data + signals[place].fingerprint.data for place in places)
        prints_NUK = torch.frombuffer(bytearray(data), dtype=torch.float64).view(len(places), -1, units).mT
        sizes_NK, axes = torch.linalg.eigh(prints_NUK.mT @ prints_NUK)
        sizes_NK = sizes_NK.clamp_min(0).sqrt()
        largest_N = sizes_NK[:, -1:]
        floors_NK = torch.where(largest_N > 0, torch.maximum(sizes_NK, _FLOOR * largest_N), 1.0)
        axes = torch.where(largest_N[..., None] > 0, axes, torch.eye(axes.shape[-1], dtype=axes.dtype))
        found |= zip(places, prints_NUK @ axes / floors_NK[:, None], strict=True)
    return [found[place] for place in range(len(signals))]


def _are_told_apart(operation: Operation) -> bool:
    """Whether each unit is an output, or all of them get a gradient and no two the same one."""
    signal = operation.backward
    if operation.role == "head":
        return True
    if signal is None or signal.nonfinite or not signal.projections:
        return False
    prints_UK = tensor_of(signal.fingerprint).view(-1, signal.units).T
    return bool(prints_UK.any(1).all()) and not equal_groups(prints_UK, _ALIKE)


def _has_equal_gradients(signal: Signal | None) -> bool:
    """Whether two units that get a gradient get the same one."""
    if signal is None or signal.nonfinite or signal.units < 2 or not signal.projections:
        return False
    prints_UK = tensor_of(signal.fingerprint).view(-1, signal.units).T
    return bool(equal_groups(prints_UK[prints_UK.any(1)], _ALIKE))


def _equal_below(trace: Trace, operation: Operation) -> str:
    """A weight of a recurrent call of several layers in which two hidden units have equal gradient norms throughout.

    Only the last layer's responses come out of such a call. Copies get equal gradients in every gate, of the input's
    weight and of the state's.
    """
    weights = [use for use in operation.uses if use.slot in ("weight", "recurrent")]
    if len(weights) <= _OF_ONE_LAYER or all(use.slot != "recurrent" for use in weights):
        return ""
    facts = {fact.name: fact for fact in trace.parameters}
    for one, two in itertools.pairwise(weights):
        if (one.slot, two.slot) == ("weight", "recurrent") and one.blocks == two.blocks:
            gradients = [facts[use.parameter].gradient for use in (one, two)]
            norms = [tensor_of(each.row_norm).view(one.blocks, -1).T for each in gradients if each is not None]
            if len(norms) == len(gradients) and norms[0].shape == norms[1].shape:
                joined = torch.cat(norms, 1)
                if equal_groups(joined[joined.any(1)], _ALIKE):
                    return one.parameter
    return ""


def tensor_of(vector: Vector) -> Tensor:
    """[n] float64; a copy."""
    return torch.frombuffer(bytearray(vector.data), dtype=torch.float64) if vector.data else torch.zeros(0).double()


def repeated(trace: Trace) -> tuple[str, ...]:
    """Two weights of one shape with equal statistics, if there are any: probably equal content.

    Both are read; one that is not, as the original that an adapter sets aside, is nobody's copy. Nor is a vector.
    """
    seen: dict[tuple[object, ...], str] = {}
    for fact in trace.parameters:
        if fact.numel == max(fact.shape, default=0) or fact.is_constant or not fact.sample or not fact.is_used:
            continue
        key = (fact.shape, fact.low, fact.high, fact.mean, fact.std)
        if key in seen:
            return seen[key], fact.name
        seen[key] = fact.name
    return ()


def of_sleep(trace: Trace, limits: Limits | None = None, *, missing: bool = True) -> str:
    """Why some parameter may not learn from here; empty when a gradient reaches every slice of every weight.

    Offsets that are taken off again are explained already. Without ``missing``, parameters that no path leads to do
    not count.
    """
    if not trace.has_backward:
        return ""
    limits = limits or Limits()
    explained = frozenset(cancelled(trace, limits))
    largest = max((fact.gradient.rms for fact in trace.parameters if fact.gradient is not None), default=0.0)
    faint = limits.faint_gradient * largest
    rows = _rows_explained(trace)
    for fact in trace.parameters:
        if not fact.requires_grad or not fact.numel or fact.name in explained:
            continue
        if fact.gradient is None:
            if fact.is_used and missing:
                return f"{fact.name} has no gradient"
        elif fact.gradient.norm == 0.0 or (fact.gradient.rms < faint and not fact.gradient.nonfinite):
            return f"the gradient of {fact.name} is zero, or nearly"
        elif len(fact.shape) > 1 and fact.gradient.zero_rows > rows.get(fact.name, 0):
            return f"{fact.gradient.zero_rows} of {len(fact.gradient.row_norm)} rows of {fact.name} have no gradient"
    return of_silence(trace)


def of_silence(trace: Trace) -> str:
    """All gradients are faint beside what arrives at the output: then the largest of them is rounding, too."""
    arriving = [each for each in trace.operations if each.backward is not None and not each.in_loss]
    loudest = max((each.backward.rms for each in arriving if each.backward), default=0.0)
    heard = max((each.backward.rms for each in arriving if each.backward and each.kind == "weighted"), default=loudest)
    is_silent = math.isfinite(loudest) and heard < _SILENT * loudest
    return "hardly any gradient reaches a weight" if is_silent else ""


def units_off(trace: Trace) -> dict[str, float]:
    """How many slices of weights, biases and gains belong to units that are off on the whole batch.

    Not where a weight or a gain holds zeros: units without weights are at the kink, and another weight may bring them
    off it.
    """
    facts = {fact.name: fact for fact in trace.parameters}
    graph = Graph(trace)
    found, others = dict[str, float](), set[str]()
    for operation in trace.operations:
        main = next((use for use in operation.uses if use.slot == "gain"), None)
        main = main if operation.kind == "norm" else weight_use(operation)
        fact = facts.get(main.parameter) if main is not None else None
        is_filled = operation.kind in ("weighted", "norm") and fact is not None and fact.zero_share == 0.0
        for use in operation.uses:
            if is_filled and use.slot in ("weight", "bias", "gain", "shift"):
                found[use.parameter] = max(found.get(use.parameter, 0.0), _num_off(graph, operation))
            else:
                others.add(use.parameter)
    return {name: count for name, count in found.items() if count and name not in others}


def _rows_explained(trace: Trace) -> dict[str, float]:
    """Rows without a gradient for a plain reason: looked-up tables, and units that are off on the whole batch."""
    explained: dict[str, float] = {}
    graph = Graph(trace)
    for operation in trace.operations:
        for use in operation.uses:
            if use.slot == "table" or use.parameter not in explained:
                off = float("inf") if use.slot == "table" else _num_off(graph, operation)
                explained[use.parameter] = max(off, explained.get(use.parameter, 0.0))
            if use.slot not in WEIGHTS:
                explained[use.parameter] = float("inf")
    return explained


def _num_off(graph: Graph, operation: Operation) -> float:
    """Units that are off in the activation behind a weighted operation, or behind a norm; in front of it one may lie.

    A norm whose gains hold zeros puts its units at the kink: they are not off.
    """
    index = operation.index if operation.kind == "norm" else operation.consumer_index
    while index is not None:
        reader = graph.trace.operations[index]
        if reader.forward is not None and len(reader.forward.off_share):
            return float(sum(share >= 1.0 for share in reader.forward.off_share.unpack()))
        if reader.kind not in _BETWEEN or not _is_filled(graph.trace, reader):
            return 0.0
        following = graph.readers[index]
        index = following[0] if len(following) == 1 else None
    return 0.0


def _is_filled(trace: Trace, operation: Operation) -> bool:
    """Whether no gain is zero of those it multiplies by, if it is a norm."""
    gains = {use.parameter for use in operation.uses if use.slot == "gain"}
    return all(fact.zero_share == 0.0 for fact in trace.parameters if fact.name in gains)
