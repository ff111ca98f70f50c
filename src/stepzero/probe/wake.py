"""The wake-up probe: which zero gradients become non-zero within a few steps, which never do, and why.

Works on a Replica. Every slice (along axis 0) of every trainable parameter is *live* when a gradient reaches it at the
start, *delayed(k)* when one first does after k virtual steps, *stuck* when the set of live slices has stopped growing
without it. Why a stuck slice is stuck is told by redrawing: the parameter itself (does the output change?), all
parameters by their law (would it be live then?), and zero factors one at a time (who wakes whom?).
"""

import itertools
import re
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from stepzero.core.trace import Trace
from stepzero.core.wake import Cause, DeadProduct, ParameterWake, WakeFact
from stepzero.measure.control import Law, laws
from stepzero.measure.relation import connected
from stepzero.probe import steps
from stepzero.probe.optimizer import optimizer_of
from stepzero.probe.packed import factors_of
from stepzero.probe.replica import Gradients, Replica, ReplicaError, Sizes
from stepzero.probe.subject import Subject
from stepzero.probe.touch import touched

MIN_STEPS = 3
MAX_STEPS = 32
_EXAMINED = 40
"""Stuck parameters looked into one by one; a model with more has one fault many times over."""
_TAMER = (1.0, 0.3, 0.1)
_SAME = 1e-9
"""Relative change of the output that counts as none."""


def wake(subject: Subject, trace: Trace, optimizer: Any = None) -> WakeFact:
    """Take virtual steps until no further slice wakes; never raises because of the model.

    With an ``optimizer`` (of the subject's model) its own steps are taken besides, as many as the longest sleep.
    """
    try:
        tables = {use.parameter for each in trace.operations for use in each.uses if use.slot == "table"}
        replica = Replica(subject)
        fact = _Probe(replica, laws(trace), _longest(trace), subject.seed, frozenset(tables)).result()
        own = optimizer_of(optimizer, subject.model, replica.parameters) if optimizer is not None else None
        return touched(replica, own, fact) if own is not None and fact.ran else fact
    except ReplicaError as error:
        return WakeFact(ran=False, reason=str(error))


def _longest(trace: Trace) -> int:
    """Weight layers on the longest path: no wake-up can take more steps."""
    depth: list[int] = []
    for operation in trace.operations:
        own = operation.kind == "weighted" and operation.from_input
        depth.append(max((depth[source] for source in operation.inputs), default=0) + own)
    return min(MAX_STEPS, max(MIN_STEPS, max(depth, default=0)))


class _Probe:
    """One run of the probe."""

    def __init__(
        self, replica: Replica, found: dict[str, Law], longest: int, seed: int, tables: frozenset[str] = frozenset()
    ) -> None:
        self.replica, self.laws, self.longest = replica, found, longest
        self.generator = torch.Generator().manual_seed(0x3A4E + seed)
        self.first: dict[str, list[int | None]] = {}
        self.waking: dict[str, float] = {}
        self.effects: dict[tuple[object, ...], bool] = {}
        self.outputs: dict[int, Tensor] = {}
        self.tables = tables
        """Looked-up parameters: rows that no batch asks for are not asleep."""
        self.exact: dict[str, bool] = {}
        self.missing: list[str] = []
        self.woken: set[str] = set()

    def result(self) -> WakeFact:
        """Step, then explain what never woke."""
        sizes, gradients = self.replica.sizes(0)
        if not all(each is None or bool(each.isfinite().all()) for each in sizes.values()):
            return WakeFact(ran=False, reason="a gradient is not finite at the start")
        if self._has_zeros(sizes):  # perhaps another batch reaches them
            sizes, gradients = self._joined(sizes, gradients)
        self.missing = [name for name, each in sizes.items() if each is None]
        taken = self._step_until_quiet(sizes, gradients)
        self.replica.reset()
        stuck = [name for name, first in self.first.items() if None in first]
        products, blockers, self.woken = self._products(stuck)
        self._try_all_at_once([*self.missing, *stuck])
        return WakeFact(
            ran=True,
            steps=taken,
            parameters=tuple(
                self._described(name)
                for name in self.replica.trainable
                if name in self.missing or any(step != 0 for step in self.first.get(name, []))
            ),
            products=tuple(products),
            blockers=tuple(blockers),
            output_is_constant=self._is_every_one_asleep(stuck) and self._control[1],
        )

    # -- stepping ---------------------------------------------------------------------------------------------------

    def _joined(self, sizes: Sizes, gradients: Gradients) -> tuple[Sizes, Gradients]:
        """Slice sizes and gradients of both batches together."""
        more, others = self.replica.sizes(1)
        both: Sizes = {}
        for name, one in sizes.items():
            two = more[name]
            both[name] = two if one is None else one if two is None else torch.where(one.abs() > two.abs(), one, two)
        return both, steps.summed(gradients, others)

    def _has_zeros(self, sizes: Sizes) -> bool:
        """Whether a slice gets nothing at all; what rounding leaves of a cancelled sum is no sleep but algebra."""
        return any(each is None or bool((each == 0).any()) for name, each in sizes.items() if name not in self.tables)

    def _is_every_one_asleep(self, stuck: list[str]) -> bool:
        """Whether the gradients could be those of a constant: all of them are zero."""
        return bool(stuck) and all(0 not in first for first in self.first.values())

    def _step_until_quiet(self, sizes: Sizes, gradients: Gradients) -> int:
        """Steps on alternate batches while slices without any gradient are left; returns how many were taken."""
        for name, each in sizes.items():
            if each is not None:
                self.first[name] = [0 if size > 0 else None for size in each.tolist()]
                self.exact[name] = _has_exact_zero(each)
        for step in range(1, self.longest + 1):
            if not self._is_waiting(sizes):
                return step - 1
            moving = {
                name: g for name, g in gradients.items() if (s := sizes[name]) is not None and bool((s > 0).any())
            }
            steps.along(self.replica, moving)
            sizes, gradients = self.replica.sizes(step % 2)
            if not self._note(step, sizes) and step >= MIN_STEPS:
                return step
        return self.longest

    def _is_waiting(self, sizes: Sizes) -> bool:
        for name, first in self.first.items():
            now = sizes[name]
            if now is None or None not in first or name in self.tables:
                continue
            asleep = [place for place, step in enumerate(first) if step is None]
            if _has_exact_zero(now[asleep]):
                return True
        return False

    def _note(self, step: int, sizes: Sizes) -> bool:
        """Whether a slice woke at this step."""
        grew = False
        for name, each in sizes.items():
            first = self.first.get(name)
            if each is None or first is None or None not in first:
                continue
            for place, size in enumerate(each.tolist()):
                if size > 0 and first[place] is None:
                    first[place], grew = step, True
                    self.waking[name] = max(self.waking.get(name, 0.0), size)
        return grew

    # -- why --------------------------------------------------------------------------------------------------------

    def _drawn(self, name: str) -> Tensor:
        """The parameter by its law; as it is when its value may mean something that no law knows."""
        start, law = self.replica.start_of(name), self.laws.get(name)
        if law is None:
            return start
        return law.mean + law.std * self._noise(start)

    def _noise(self, like: Tensor) -> Tensor:
        dtype = torch.complex128 if like.is_complex() else torch.float64
        return torch.randn(like.shape, generator=self.generator, dtype=dtype).to(like.device)

    @cached_property
    def _control(self) -> tuple[Sizes, bool]:
        """Slice sizes with everything redrawn by law, and whether even that leaves the output as it was.

        Where the law makes the network overflow (exponentials of sums it does not know), smaller draws are taken.
        """
        before = self.replica.output()
        for factor in _TAMER:
            values = {name: self._drawn(name) for name in self.replica.parameters}
            if factor < 1:
                values = {name: factor * value if value.dim() > 1 else value for name, value in values.items()}
            self.replica.write(values)
            sizes, _ = self.replica.sizes(0)
            after = self.replica.output()
            if bool(after.isfinite().all()) and all(
                each is None or bool(each.isfinite().all()) for each in sizes.values()
            ):
                break
        self.replica.reset()
        return sizes, _is_same(before, after)

    def _moved(self, name: str) -> Tensor:
        """The parameter with its sleeping slices redrawn, whatever its law says."""
        start = self.replica.start_of(name)
        moved = start + steps.scale_of(start) * self._noise(start)
        if start.dim() and name in self.first:
            awake = [place for place, step in enumerate(self.first[name]) if step is not None]
            moved[awake] = start[awake]
        return moved

    def _changes(self, values: dict[str, Tensor], batches: tuple[int, ...] = (0, 1)) -> bool:
        """Whether the output is another one with these values."""
        changed = False
        for batch in batches:
            if batch not in self.outputs:
                self.outputs[batch] = self.replica.output(batch)
            self.replica.write(values)
            changed = changed or not _is_same(self.outputs[batch], self.replica.output(batch))
            self.replica.reset()
        return changed

    def _try_all_at_once(self, names: list[str]) -> None:
        """Most sleepers change nothing: if all of them together do not, none needs a look of its own."""
        if len(names) > 1 and not self._changes({name: self._moved(name) for name in names}, (0,)):
            self.effects.update({self._key(name): False for name in names})

    def _key(self, name: str) -> tuple[object, ...]:
        """Layer after layer asks the same question: parameters of one role with the same slices asleep."""
        return (_role(name), tuple(self.first.get(name, ())))

    def _effect(self, name: str) -> bool:
        """Whether the output changes when the sleeping slices of this parameter alone are redrawn."""
        key = self._key(name)
        if key not in self.effects:
            self.effects[key] = self._changes({name: self._moved(name)})
        return self.effects[key]

    def _described(self, name: str) -> ParameterWake:
        first = self.first.get(name, [])
        asleep = [place for place, step in enumerate(first) if step is None]
        is_asleep = name in self.missing or bool(asleep)
        effect = self._effect(name) if is_asleep else None
        alive: Tensor | None = None
        cause: Cause = ""
        if is_asleep and not (effect or name in self.missing or self.exact[name]):
            cause = "algebra"  # a cancelled sum that changes nothing: no other start would make it matter
        else:
            alive = self._control[0].get(name)
        is_live = name in self.woken or (alive is not None and bool((alive[asleep or slice(None)] > 0).any()))
        if is_asleep and not cause:
            cause = _cause(is_live=is_live, effect=bool(effect), is_missing=name in self.missing)
        size = self.waking.get(name)
        reference = float(alive.max()) if alive is not None and alive.numel() else 0.0
        return ParameterWake(
            parameter=name,
            first=_runs(first),
            has_gradient=name not in self.missing,
            zero_stuck=len(self._zero_slices(name)) if asleep else 0,
            cause=cause,
            effect=effect,
            control=is_live,
            wake_size=size / reference if size is not None and reference > 0 else None,
        )

    # -- who blocks whom --------------------------------------------------------------------------------------------

    def _products(self, stuck: list[str]) -> tuple[list[DeadProduct], list[tuple[str, str]], set[str]]:
        """Zero factors that block each other; (blocked, blocking) pairs besides; everything that some redraw wakes.

        A zero that wakes another stuck zero is its partner even if it stays asleep itself for the moment, because the
        activation between them has slope zero there.
        """
        found = [name for name in stuck if self._is_factor(name) and self._zero_slices(name)]
        zeros, untried = found[:_EXAMINED], found[_EXAMINED:]
        revived = {name: self._revived_by([name], stuck) for name in zeros}
        pairs: dict[str, set[str]] = {name: set() for name in zeros}
        for name in zeros:
            for other in revived[name] & set(zeros) - {name}:
                pairs[name].add(other)
                pairs[other].add(name)
        groups = connected(pairs)
        lonely = [name for name in zeros if not pairs[name] and name not in revived[name]]
        if not groups and len(lonely) > 1:
            rest = {name: self._revived_by([each for each in lonely if each != name], stuck) for name in lonely}
            held = [name for name in lonely if name in rest[name]]
            if len(held) == 1:  # a kink at zero keeps the others asleep even then: which of them does this one need?
                drawn = {name: [each for each in lonely if each not in (name, held[0])] for name in lonely}
                needed = [name for name in lonely if held[0] not in self._revived_by(drawn[name], stuck)]
                held = [name for name in lonely if name in needed or name == held[0]]
            if len(held) > 1:  # one alone is woken by the others, and wakes nothing itself
                groups = [tuple(held)]
                revived |= rest
        inside = {name for group in groups for name in group}
        products = [
            DeadProduct(group, tuple(sorted({each for name in group for each in revived[name]} - inside)))
            for group in groups
        ]
        products += self._packed([name for name in zeros if name not in inside], revived)
        inside |= {name for product in products for name in product.factors}
        roles = {_role(name) for name in inside}
        alike = tuple(name for name in untried if _role(name) in roles)
        if alike:  # block after block has one fault: the rest plays the same roles
            products.append(DeadProduct(alike))
        silenced = {name for product in products for name in product.silenced}
        blockers = [
            (one, name) for name in zeros if name not in inside for one in sorted(revived[name]) if one not in silenced
        ]
        return products, blockers, {one for found in revived.values() for one in found}

    def _packed(self, names: list[str], revived: dict[str, set[str]]) -> list[DeadProduct]:
        """Products whose zero factors are slices of one parameter."""
        tried = ((name, factors_of(self._zero_slices(name), partial(self._woken_inside, name))) for name in names)
        return [
            DeadProduct((name,), tuple(sorted(revived[name] - {name})), slices)
            for name, slices in tried
            if slices is not None
        ]

    def _woken_inside(self, name: str, drawn: list[int]) -> set[int]:
        """Stuck zero slices of a parameter that live when others and every zero that moves are drawn."""
        self.replica.write({each: self._grown(each, drawn if each == name else []) for each in self.first})
        now = self.replica.sizes(0)[0][name]
        self.replica.reset()
        return set() if now is None else {place for place in self._zero_slices(name) if now[place] > 0}

    def _grown(self, name: str, also: list[int]) -> Tensor:
        """The parameter with the zero slices drawn that wake by themselves, and ``also``."""
        start = self.replica.start_of(name).clone()
        awake = [place for place, step in enumerate(self.first[name]) if step is not None and start.dim()]
        places = [*also, *(place for place in awake if not bool(start[place].any()))]
        if places:
            start[places] = self._drawn(name)[places]
        return start

    def _is_factor(self, name: str) -> bool:
        """Not a bias or shift, which is added and not multiplied: zero is its law."""
        return self.laws.get(name) != Law(0.0, 0.0)

    def _zero_slices(self, name: str) -> list[int]:
        """Stuck slices that hold nothing but zeros."""
        start = self.replica.start_of(name)
        flat = start.reshape(start.shape[0], -1) if start.dim() else start.reshape(1, 1)
        stuck = [place for place, step in enumerate(self.first[name]) if step is None]
        return [place for place in stuck if not bool(flat[place].any())]

    def _revived_by(self, names: list[str], stuck: list[str]) -> set[str]:
        """Stuck parameters that are live at once when ``names`` are drawn by law where they are zero and stuck."""
        values = {}
        for name in names:
            start, drawn, slices = self.replica.start_of(name).clone(), self._drawn(name), self._zero_slices(name)
            if not bool(drawn.any()):  # a bias: its law is zero, so any value will do
                drawn = self._noise(start)
            if start.dim():
                start[slices] = drawn[slices]
            values[name] = start if start.dim() else drawn
        self.replica.write(values)
        sizes, _ = self.replica.sizes(0)
        self.replica.reset()
        found = set()
        for name in stuck:
            now = sizes[name]
            if now is None:
                continue
            asleep = [place for place, step in enumerate(self.first[name]) if step is None]
            if bool((now[asleep] > 0).any()):
                found.add(name)
        return found


def _has_exact_zero(sizes: Tensor) -> bool:
    """Whether a slice gets nothing, not even rounding; one of a cancelled sum's slices can come to 0 by chance."""
    return bool((sizes == 0).any()) and not bool((sizes < 0).any())


def _runs(first: list[int | None]) -> tuple[tuple[int | None, int], ...]:
    """Equal neighbours as (step, how many)."""
    return tuple((step, len(list(same))) for step, same in itertools.groupby(first))


def _cause(*, is_live: bool, effect: bool, is_missing: bool) -> Cause:
    if is_live:
        return "value"
    if effect:
        return "cut"
    return "unused" if is_missing else "algebra"


def _role(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _is_same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool(((one - other).abs().max() <= _SAME * one.abs().max()).item()) if one.numel() else True
