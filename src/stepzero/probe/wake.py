"""The wake-up probe: which zero gradients become non-zero within a few steps, which never do, and why.

Works on a Replica. Every slice (along axis 0) of every trainable parameter is *live* when a gradient reaches it at the
start, *delayed(k)* when one first does after k virtual steps, *stuck* when the set of live slices has stopped growing
without it. Why a stuck slice is stuck is told by redrawing: the parameter itself (does the output change?), all
parameters by their law (would it be live then?), and zero factors one at a time (who wakes whom?).

A copy in float32 is asked first. Most sleepers wake at the next step, or are biases whose gradient cancels; of those it
is sure, at a third of the cost.
"""

import itertools
from typing import Any

from torch import Tensor

from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.trace import Trace
from stepzero.core.wake import Cause, ParameterWake, WakeFact
from stepzero.measure.cancelled import cancelled, is_cancelled_sum
from stepzero.measure.control import laws
from stepzero.measure.suspicion import of_silence, of_sleep, units_off
from stepzero.measure.uses import added, readings
from stepzero.probe.optimizer import optimizer_of
from stepzero.probe.products import dead_products
from stepzero.probe.redrawn import Redrawn
from stepzero.probe.replica import Replica, ReplicaError
from stepzero.probe.rounding import FAINT_AS_IS
from stepzero.probe.sleepers import MIN_STEPS, Sleepers
from stepzero.probe.subject import Subject
from stepzero.probe.touch import touched

MAX_STEPS = 32
_AS_IS = frozenset(["float32", "complex64", "int64", "int32", "int16", "int8", "uint8", "bool"])
_SAME, _SAME_AS_IS = 1e-9, 1e-5
"""Relative change of the output that counts as none, in float64 and in float32."""
_NEARLY = 1e-3
"""The same where a gradient arrives that is as faint as its rounding: whether it is one makes no difference then."""
_GLANCED = 2
"""Virtual steps whose small gradients float32 can tell from rounding."""


def wake(subject: Subject, trace: Trace, optimizer: Any = None) -> WakeFact:
    """Take virtual steps until no further slice wakes; never raises because of the model.

    With an ``optimizer`` (of the subject's model) its own steps are taken besides, as many as the longest sleep.
    """
    try:
        if optimizer is None and (glanced := _glance(subject, trace)) is not None:
            return glanced
        replica = Replica(subject)
        fact = _fact(_sleepers(replica, subject, trace, _longest(trace), _SAME), trace)
        own = optimizer_of(optimizer, subject.model, replica.parameters) if optimizer is not None else None
        return touched(replica, own, fact) if own is not None and fact.ran else fact
    except ReplicaError as error:
        return WakeFact(ran=False, reason=str(error))


def _sleepers(
    replica: Replica,
    subject: Subject,
    trace: Trace,
    longest: int,
    same: float,
    doubted: frozenset[str] | None = None,
) -> Sleepers:
    return Sleepers(
        replica,
        laws(trace),
        longest,
        subject.seed,
        _tables(trace),
        same,
        _cancelled(trace),
        doubted,
        units_off(trace),
        has_rectifiers=any(operation.name == "relu" for operation in trace.operations),
    )


def _tables(trace: Trace) -> frozenset[str]:
    """Looked-up and added parameters: rows that no batch asks for are not asleep."""
    return added(trace).union(use.parameter for each in trace.operations for use in each.uses if use.slot == "table")


def _cancelled(trace: Trace) -> frozenset[str]:
    return frozenset(cancelled(trace, Limits()))


def _doubted(trace: Trace) -> frozenset[str] | None:
    """Parameters whose gradient is so small in the first pass that it may be rounding; None where all may be."""
    if of_silence(trace):
        return None
    rms = {fact.name: fact.gradient.rms for fact in trace.parameters if fact.gradient is not None}
    faint = FAINT_AS_IS * max(rms.values(), default=0.0)
    packed = {  # keys' biases among those of queries and values
        fact.name
        for fact in trace.parameters
        if fact.gradient is not None
        and len(fact.shape) == 1
        and any(0 < each < faint for each in fact.gradient.row_norm.unpack())
    }
    return frozenset(packed).union(name for name, each in rms.items() if each < faint)


def _longest(trace: Trace) -> int:
    """Weight layers on the longest path: no wake-up can take more steps."""
    depth: list[int] = []
    for operation in trace.operations:
        own = operation.kind == "weighted" and operation.from_input
        depth.append(max((depth[source] for source in operation.inputs), default=0) + own)
    return min(MAX_STEPS, max(MIN_STEPS, max(depth, default=0)))


def _note_cancelled_sums(sleepers: Sleepers, trace: Trace) -> None:
    """Offsets whose gradient came to exactly 0 by chance: live terms that cancel, and a value that changes nothing."""
    doubted = [
        name
        for name in sleepers.stuck
        if sleepers.exact.get(name) and is_cancelled_sum(trace, name, sleepers.asleep(name), Limits())
    ]
    sleepers.change_nothing(doubted, ask_all=True)
    sleepers.cancelled |= {name for name in doubted if sleepers.change_by(name) <= sleepers.same}


def _fact(sleepers: Sleepers, trace: Trace) -> WakeFact:
    """Step, then explain what never woke."""
    if (taken := sleepers.stepped()) is None:
        return WakeFact(ran=False, reason="a gradient is not finite at the start")
    _note_cancelled_sums(sleepers, trace)
    products, blockers, woken = dead_products(sleepers)
    known = sleepers.cancelled | sleepers.off | sleepers.idle
    known = known.union(name for name in sleepers.tables if sleepers.is_read(name))
    asked = [name for name in sleepers.stuck if name not in known and not _is_live(sleepers, name)]
    sleepers.change_nothing([*sleepers.missing, *asked], ask_all=True)
    return WakeFact(
        ran=True,
        steps=taken,
        parameters=_all_described(sleepers, woken),
        products=tuple(products),
        blockers=tuple(blockers),
        output_is_constant=sleepers.is_every_one_asleep() and sleepers.control[1],
    )


def _glance(subject: Subject, trace: Trace) -> WakeFact | None:
    """The answer where float32 is sure of it; None where float64 has to tell.

    Sure are slices that wake within `_GLANCED` steps, gradients that are rounding alone where the value changes
    nothing, also those of which rounding left nothing, and units that are off. Zero factors are not, nor what acts on
    the output without a gradient.
    """
    if not {fact.dtype for fact in trace.parameters} | {each.dtype for each in trace.operations} <= _AS_IS:
        return None
    aside = _aside(trace)
    if aside and _is_returned(trace, aside):
        return _unused(aside)
    try:
        replica = Replica(subject, as_is=True)
        if aside and _changes_nothing(replica, trace, aside, subject.seed):
            return _unused(aside)
        sleepers = _sleepers(replica, subject, trace, MIN_STEPS, _SAME_AS_IS, _doubted(trace))
        taken = sleepers.stepped()
        if taken is None or sleepers.latest_of_others > _GLANCED or sleepers.is_every_one_asleep():
            return None
        _note_cancelled_sums(sleepers, trace)
        silent = [name for name in sleepers.stuck if sleepers.is_silent(name) and name not in sleepers.cancelled]
        known = sleepers.cancelled.union(silent, (name for name in sleepers.tables if sleepers.is_read(name)))
        factors = [name for name in silent if name not in sleepers.off and sleepers.is_factor(name)]
        if any(sleepers.zero_slices(name) for name in factors):
            return None
        if not sleepers.change_nothing(sleepers.missing):
            return None
        sleepers.same = _NEARLY
        if not _is_rounding_alone(sleepers, subject, [name for name in sleepers.stuck if name not in known]):
            return None
        _ask_together(sleepers, [name for name in silent if name not in sleepers.off | sleepers.idle])
        described = _all_described(sleepers, set())
    except ReplicaError:
        return None
    doubts = (each for each in described if each.parameter in silent and each.cause != "value")
    is_sure = all(each.parameter in sleepers.idle or sleepers.change_by(each.parameter) == 0.0 for each in doubts)
    return WakeFact(ran=True, steps=taken, parameters=described) if is_sure else None


def _is_rounding_alone(sleepers: Sleepers, subject: Subject, names: list[str]) -> bool:
    """Whether redrawing what only rounding seems to reach changes nothing.

    A few slices of very many have gradients that are as small by chance: they are taken for live. Where something
    changes, float64 is asked of these parameters alone which of their gradients are small and no rounding.
    """
    by_chance = [name for name in names if sleepers.is_small_by_chance(name)]
    for name in by_chance:
        sleepers.first[name] = [0 if step is None else step for step in sleepers.first[name]]
    rest = [name for name in names if name not in by_chance]
    if sleepers.change_nothing_together(rest):
        return True
    if not sleepers.off.isdisjoint(rest):  # float64 would have to be told of these, too
        return False
    sizes = Replica(subject).look(0, names=rest, loudest=sleepers.loudest).sizes
    for name in rest:
        if (size := sizes[name]) is not None:
            told = zip(sleepers.first[name], size.tolist(), strict=True)
            sleepers.first[name] = [0 if step is None and norm > 0 else step for step, norm in told]
    still = [name for name in rest if sleepers.asleep(name)]
    return len(still) < len(rest) and sleepers.change_nothing(still)


def _ask_together(sleepers: Sleepers, names: list[str]) -> None:
    """Where redrawing all of them changes not a bit on either batch, each of them changes nothing."""
    if len(names) > 1 and sleepers.change({name: sleepers.moved(name) for name in names}) == 0.0:
        sleepers.changes |= {sleepers.key_of(name): 0.0 for name in names}


def _aside(trace: Trace) -> list[str]:
    """All that sleeps, where it is read and leads away from the loss: no step and no draw can wake it."""
    missing = [fact.name for fact in trace.parameters if fact.requires_grad and fact.gradient is None]
    if not missing or of_sleep(trace, missing=False):
        return []
    graph, read = Graph(trace), readings(trace)
    if any(operation.index in graph.before_loss for name in missing for operation, _ in read[name]):
        return []
    used = [name for name in missing if read[name]]
    return used if len(used) == len(missing) else []  # what is not read on this batch may be on another one


def _is_returned(trace: Trace, names: list[str]) -> bool:
    """Whether all that is computed from them ends in what the model returns, and nowhere out of sight."""
    graph, read = Graph(trace), readings(trace)
    behind = graph.downstream({operation.index for name in names for operation, _ in read[name]})
    return {index for index in behind if not graph.readers[index]} <= set(trace.outputs)


def _changes_nothing(replica: Replica, trace: Trace, names: list[str], seed: int) -> bool:
    """Whether redrawing them leaves the output that the loss reads as it is."""
    redrawn = Redrawn(replica, laws(trace), seed, _SAME_AS_IS)
    return redrawn.change({name: redrawn.moved(name) for name in names}, (0,)) <= redrawn.same


def _unused(names: list[str]) -> WakeFact:
    described = (
        ParameterWake(parameter=name, first=(), has_gradient=False, cause="unused", effect=False, control=False)
        for name in names
    )
    return WakeFact(ran=True, parameters=tuple(described))


def _all_described(sleepers: Sleepers, woken: set[str]) -> tuple[ParameterWake, ...]:
    """``woken``: what some redraw of a zero factor wakes."""
    is_slow = sleepers.latest > 1
    return tuple(
        _described(sleepers, name, is_woken=name in woken, is_slow=is_slow)
        for name in sleepers.replica.trainable
        if name in sleepers.missing or any(step != 0 for step in sleepers.first.get(name, []))
    )


def _described(sleepers: Sleepers, name: str, *, is_woken: bool, is_slow: bool) -> ParameterWake:
    asleep, is_missing = sleepers.asleep(name), name in sleepers.missing
    is_asleep = is_missing or bool(asleep)
    is_known = name in sleepers.cancelled or sleepers.is_read(name)
    effect: bool | None = None
    alive: Tensor | None = None
    cause: Cause = ""
    is_live = is_woken
    if is_known and is_asleep:
        cause = "algebra"
    elif is_asleep and name in sleepers.off and len(asleep) < len(sleepers.first[name]):
        cause, is_live = "value", True  # its other units are on
    elif is_asleep:
        is_live = is_woken or _is_live(sleepers, name)
        is_idle = name in sleepers.idle
        effect = None if is_live else not is_idle and sleepers.change_by(name) > sleepers.same
        if not (is_live or effect or is_missing or sleepers.is_exact(name)):
            cause = "algebra"  # a cancelled sum that changes nothing: no other start would make it matter
    if not cause and (is_asleep or is_slow):  # what wakes at once needs no comparison
        alive = sleepers.control[0].get(name)
        is_live = is_live or (alive is not None and bool((alive[asleep or slice(None)] > 0).any()))
    if is_asleep and not cause:
        cause = _cause(is_live=is_live, effect=bool(effect), is_missing=is_missing)
    size = sleepers.waking.get(name)
    reference = float(alive.max()) if alive is not None and alive.numel() else 0.0
    return ParameterWake(
        parameter=name,
        first=_runs(sleepers.first.get(name, [])),
        has_gradient=not is_missing,
        zero_stuck=len(sleepers.zero_slices(name)) if asleep else 0,
        cause=cause,
        effect=effect,
        control=is_live if is_asleep or alive is not None else None,
        wake_size=size / reference if size is not None and reference > 0 else None,
    )


def _is_live(sleepers: Sleepers, name: str) -> bool:
    """Whether slices that get nothing at all would get a gradient in the same network drawn by its laws."""
    if not sleepers.is_exact(name):
        return False
    alive = sleepers.control[0].get(name)
    return alive is not None and bool((alive[sleepers.asleep(name) or slice(None)] > 0).any())


def _runs(first: list[int | None]) -> tuple[tuple[int | None, int], ...]:
    """Equal neighbours as (step, how many)."""
    return tuple((step, len(list(same))) for step, same in itertools.groupby(first))


def _cause(*, is_live: bool, effect: bool, is_missing: bool) -> Cause:
    if is_live:
        return "value"
    if effect:
        return "cut"
    return "unused" if is_missing else "algebra"
