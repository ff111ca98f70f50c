"""The symmetry probe: which units of a network cannot be told apart, now and after any number of steps.

Two batches, true loss and random cotangents, float64. Units with equal responses and equal gradients are copies on
this data; that they stay copies is confirmed by stepping the copy of the model, once with plain gradient steps (kept
by lumped units) and once with a nonlinear function of every entry and its gradient (kept by true twins alone).

Shapes: U units, P projections (of all visits and batches together).
"""

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from stepzero.core.symmetry import Level, Member, SymmetryFact, UnitBlock, Width
from stepzero.core.trace import Trace
from stepzero.measure.redundancy import equal_groups, parallel_groups
from stepzero.measure.suspicion import of_hidden_copies
from stepzero.probe import steps
from stepzero.probe.confirm import gap, is_rounding
from stepzero.probe.fingerprints import Seen, Visit, seen_in
from stepzero.probe.prints import Prints, all_different, largest_gradient, prints_of, siblings
from stepzero.probe.replica import Gradients, Replica, ReplicaError
from stepzero.probe.rows import row_matrix, told_by_rows
from stepzero.probe.sets import token_blocks
from stepzero.probe.stack import certificate, compared
from stepzero.probe.subject import Subject

EXACT, NARROW = 1e-10, 2e-6
"""Largest relative difference of equal units: of float64 weights; of weights stored in fewer bits, whose block sums
agree to their own rounding only."""
_WAKING_STEPS = 4
_PAIR = 2


def symmetry(subject: Subject, trace: Trace | None = None) -> SymmetryFact:
    """Look for copies among the units of ``subject``'s model; never raises because of the model."""
    told = told_by_rows(subject.model, trace) if trace is not None else ()
    if trace is not None and told and not of_hidden_copies(trace):
        return SymmetryFact(ran=True, widths=told)
    try:
        replica = Replica(subject)
        tolerance = _tolerance(subject)
        tokens = tuple(token_blocks(replica, trace, tolerance)) if trace is not None else ()
        if told:
            return SymmetryFact(ran=True, widths=told, tokens=tokens)
        start = seen_in(replica, 0, stop=lambda visits: bool(all_different(visits, tolerance)))
        if not start.gradients and (widths := all_different(start.visits, tolerance)):
            return SymmetryFact(ran=True, widths=widths, siblings=tuple(siblings(replica)), tokens=tokens)
        if (fact := _Probe(replica, tolerance, batches=(0,), start=start).without_copies()) is not None:
            return replace(fact, tokens=tokens)
        groups = certificate(trace, replica.parameters) if trace is not None else None
        fact = _Probe(replica, tolerance, start=start).result()
        return replace(fact, tokens=tokens, certificate=compared(fact, groups))
    except ReplicaError as error:
        return SymmetryFact(ran=False, reason=str(error))


def _tolerance(subject: Subject) -> float:
    kinds = {each.dtype for each in subject.model.parameters() if each.is_floating_point()}
    return EXACT if kinds <= {torch.float64} else NARROW


class _Probe:
    """One run of the probe; ``start``: what batch 0 showed at the start, where it is known."""

    def __init__(
        self,
        replica: Replica,
        tolerance: float,
        *,
        loss_only: bool = False,
        batches: tuple[int, ...] = (0, 1),
        start: Seen | None = None,
    ) -> None:
        self.replica, self.tolerance, self.loss_only = replica, tolerance, loss_only
        self.batches = (0,) if loss_only else batches
        self.prints, self.gradients = self._look(0, start)

    def without_copies(self) -> SymmetryFact | None:
        """The answer where one batch's gradients already tell apart all units that respond alike, as in a zero head.

        One batch is enough then: copies agree in both on every batch, and at every step. Weights that get no gradient
        yet are waited for while others wake. None where more has to be asked: units that are silent among others,
        equal rows whose rank counts, equal weights.
        """
        equal = tuple(siblings(self.replica))
        if any(not each.is_frozen for each in equal) or self._has_copies():
            return None
        silent = self._silent_alikes()
        if any(bool(self.prints[name].live.any()) for name in silent):
            return None
        if silent:
            self._wait_for_sleepers(silent, is_patient=False)
            if self._silent_alikes() or self._has_copies():
                return None
        blocks = tuple(self._equal_rows([]))
        if not all(block.is_zero for block in blocks):
            return None
        return SymmetryFact(ran=True, blocks=blocks, widths=tuple(self._widths(list(blocks))), siblings=equal)

    def _has_copies(self) -> bool:
        return next(itertools.chain(self._equal(), self._multiples()), None) is not None

    def _silent_alikes(self) -> frozenset[str]:
        """Weights of units that respond like others and get no gradient, though a path leads to them."""
        return frozenset(
            places[unit][0]
            for places, forward, _, live in self._pools()
            for group in [*equal_groups(forward, self.tolerance), *parallel_groups(forward, self.tolerance)]
            for unit in group
            if not live[unit] and self._has_path(places[unit][0])
        )

    def _has_path(self, name: str) -> bool:
        """Whether the outputs of this weight's operations lead to the loss at all."""
        return any(visit.backward is not None for visit in self.prints[name].visits)

    def result(self) -> SymmetryFact:
        """Find, confirm, count."""
        self._wait_for_sleepers()
        candidates = [*self._equal(), *self._multiples()]
        kept = self._confirmed(candidates) if candidates else []
        blocks = [*kept, *self._switched_off(), *self._equal_rows(kept)]
        equal = tuple(siblings(self.replica))
        if any(not each.is_frozen or len(each.parameters) > _PAIR for each in equal):
            known = {member.parameter for block in blocks if len(block.members) > 1 for member in block.members}
            blocks += [
                block
                for block in _Probe(self.replica, self.tolerance, loss_only=True).between()
                if not known.intersection(member.parameter for member in block.members)
            ]
        return SymmetryFact(ran=True, blocks=tuple(blocks), widths=tuple(self._widths(blocks)), siblings=equal)

    def _switched_off(self) -> list[UnitBlock]:
        """Copies among units that no gradient reaches because a rectifier is off on both batches."""
        groups = (
            group for _, forward, _, live in self._pools() for group in equal_groups(forward[~live], self.tolerance)
        )
        if next(groups, None) is None:
            return []
        self.replica.is_leaky = True
        try:
            other = _Probe(self.replica, self.tolerance, loss_only=self.loss_only)
            found = [(places, sign) for places, sign in other._equal() if not any(map(self._is_live, places))]
            return other._confirmed(found) if found else []
        finally:
            self.replica.is_leaky = False

    def _is_live(self, place: tuple[str, int]) -> bool:
        return bool(self.prints[place[0]].live[place[1]])

    def between(self) -> list[UnitBlock]:
        """Copies in different weights, as the loss sees them: two critics with outputs of their own are one.

        Random cotangents would tell their outputs apart; the loss of the user does not, and it is what trains them.
        """
        self._wait_for_sleepers()
        candidates = [(places, sign) for places, sign in self._equal() if len({name for name, _ in places}) > 1]
        found = [*(self._confirmed(candidates) if candidates else []), *self._switched_off()]
        return [block for block in found if len(block.members) > 1]

    # -- looking ----------------------------------------------------------------------------------------------------

    def _look(self, step: int, start: Seen | None = None) -> tuple[dict[str, Prints], Gradients]:
        visits: dict[str, list[Visit]] = {}
        total: Gradients = {}
        for batch in self.batches:
            seen = start if start and not batch else seen_in(self.replica, batch, loss_only=self.loss_only)
            for name, found in seen.visits.items():
                visits.setdefault(name, []).extend(found)
            total = steps.summed(total, seen.gradients)
        largest = largest_gradient(visits)
        return {name: p for name, each in visits.items() if (p := prints_of(each, largest, step)) is not None}, total

    def _wait_for_sleepers(self, names: Collection[str] | None = None, *, is_patient: bool = True) -> None:
        """Units no gradient reaches yet are compared at the first virtual step at which one does.

        ``names``: weights to wait for, if not all; who is not patient waits while others of them wake.
        """
        gradients = self.gradients
        for step in range(1, _WAKING_STEPS + 1):
            asleep = [
                name
                for name, each in self.prints.items()
                if (names is None or name in names) and not bool(each.live.any()) and name in self.replica.trainable
            ]
            if not asleep:
                break
            steps.plain(self.replica, gradients)
            later, gradients = self._look(step)
            woken = [name for name in asleep if name in later and bool(later[name].live.any())]
            self.prints |= {name: later[name] for name in woken}
            if not (woken or is_patient):
                break
        self.replica.reset()

    # -- finding ----------------------------------------------------------------------------------------------------

    def _pools(self) -> Iterator[tuple[list[tuple[str, int]], Tensor, Tensor, Tensor]]:
        """Units that can be compared: (weight, unit) places, responses, gradients, live flags."""
        pools: dict[tuple[object, ...], list[str]] = {}
        for name, each in self.prints.items():
            pools.setdefault((each.key, each.step), []).append(name)
        for names in pools.values():
            places = [(name, unit) for name in names for unit in range(len(self.prints[name].forward))]
            chosen = [self.prints[name] for name in names]
            yield (
                places,
                torch.cat([each.forward for each in chosen]),
                torch.cat([each.backward for each in chosen]),
                torch.cat([each.live for each in chosen]),
            )

    def _equal(self) -> Iterator[tuple[list[tuple[str, int]], float]]:
        """Groups of live units with equal responses and equal gradients, with the factor 1."""
        for places, forward, backward, live in self._pools():
            for group in equal_groups(forward, self.tolerance):
                awake = [unit for unit in group if live[unit]]
                if not bool(forward[group[0]].any()):  # zero in two layers is no relation between them
                    awake = [unit for unit in awake if places[unit][0] == places[awake[0]][0]]
                for same in equal_groups(backward[awake], self.tolerance) if len(awake) > 1 else []:
                    yield [places[awake[index]] for index in same], 1.0

    def _multiples(self) -> Iterator[tuple[list[tuple[str, int]], float]]:
        """Groups of one weight's units whose responses and gradients are one multiple of each other."""
        for places, forward, backward, live in self._pools():
            for group in parallel_groups(forward, self.tolerance):
                first = places[group[0]][0]
                awake = [
                    unit for unit in group if live[unit] and places[unit][0] == first and self._varies(places[unit])
                ]
                for sign in (1.0, -1.0):
                    if found := self._one_factor(awake, forward, backward, sign):
                        yield [places[unit] for unit in found], sign

    def _varies(self, place: tuple[str, int]) -> bool:
        """Constants are multiples of each other whatever made them."""
        return bool(self.prints[place[0]].varies[place[1]])

    def _one_factor(self, group: list[int], forward: Tensor, backward: Tensor, sign: float) -> list[int]:
        if len(group) < 2:
            return []
        first = group[0]
        found, factors = [first], [1.0]
        for unit in group[1:]:
            factor = float(forward[unit] @ forward[first] / (forward[first] @ forward[first]))
            gap = (backward[unit] - factor * backward[first]).norm() / backward[unit].norm()
            is_copy = any(abs(factor - other) <= self.tolerance * abs(other) for other in factors)
            if factor * sign > 0 and float(gap) <= 4 * self.tolerance and not is_copy:
                found.append(unit)
                factors.append(factor)
        return found if len(found) > 1 else []

    # -- confirming -------------------------------------------------------------------------------------------------

    def _confirmed(self, candidates: list[tuple[list[tuple[str, int]], float]]) -> list[UnitBlock]:
        linear = self._kept(candidates, steps.plain)
        elementwise = self._kept(candidates, steps.elementwise)
        blocks = []
        for (places, sign), is_linear, is_elementwise in zip(candidates, linear, elementwise, strict=True):
            if not is_linear and not is_elementwise:
                continue
            level: Level = "scaled" if sign > 0 else "mirrored"
            if sign == 1.0 and not self._is_multiple(places):
                level = "twins" if is_elementwise and self._rows_equal(places) else "lumped"
            elif sign < 0 and not is_elementwise:
                level = "scaled"
            blocks.append(self._block(level, places, "elementwise" if is_elementwise else "linear"))
        return blocks

    def _kept(
        self,
        candidates: list[tuple[list[tuple[str, int]], float]],
        step: Callable[[Replica, Gradients], None],
    ) -> list[bool]:
        """Whether each candidate's relation still holds two virtual steps later.

        Where one does not, the same steps are taken from weights that are one rounding off: a network that is unstable
        across the symmetry (twins that make up the variance of a norm) turns 1e-16 into 1e-4 within two steps.
        """
        count = max(self.prints[places[0][0]].step for places, _ in candidates) + 2
        path = self._path(step, count)
        kept = [gap(path[-1], places, self._factor) <= 10 * self.tolerance for places, _ in candidates]
        if not all(kept):
            shadow = self._path(step, count, is_nudged=True)
            kept = [
                is_kept or is_rounding(places, path, shadow, self._factor, 10 * self.tolerance)
                for is_kept, (places, _) in zip(kept, candidates, strict=True)
            ]
        return kept

    def _path(
        self, step: Callable[[Replica, Gradients], None], count: int, *, is_nudged: bool = False
    ) -> list[dict[str, Prints]]:
        """Prints after each of ``count`` virtual steps."""
        self.replica.reset()
        gradients = self.gradients
        if is_nudged:
            self.replica.write(steps.nudged(self.replica))
            _, gradients = self._look(0)
        path = []
        for number in range(count):
            step(self.replica, gradients)
            later, gradients = self._look(number + 1)
            path.append(later)
        self.replica.reset()
        return path

    def _factor(self, first: tuple[str, int], other: tuple[str, int]) -> float:
        """Ratio of the responses at the start, where the first is not zero; else of the gradients."""
        a, b = self.prints[first[0]], self.prints[other[0]]
        for one, two in ((a.forward[first[1]], b.forward[other[1]]), (a.backward[first[1]], b.backward[other[1]])):
            if float(one.norm()) > 0:
                return float(two @ one / (one @ one))
        return 1.0

    def _is_multiple(self, places: list[tuple[str, int]]) -> bool:
        return abs(self._factor(places[0], places[1]) - 1.0) > 100 * self.tolerance

    # -- describing -------------------------------------------------------------------------------------------------

    def _rows_equal(self, places: list[tuple[str, int]]) -> bool:
        """Whether the units' own weights agree, number by number; True where rows cannot be read."""
        rows = [self._row(place) for place in places]
        if any(row is None or rows[0] is None or row.shape != rows[0].shape for row in rows):
            return True
        known = [row for row in rows if row is not None]
        return all(bool(((row - known[0]).abs() <= self.tolerance * known[0].abs()).all()) for row in known[1:])

    def _row(self, place: tuple[str, int]) -> Tensor | None:
        name, unit = place
        matrix = row_matrix(self.replica.start_of(name), self.prints[name].visits[0].use)
        return matrix[unit] if matrix is not None and unit < len(matrix) else None

    def _block(self, level: Level, places: list[tuple[str, int]], confirmed: str) -> UnitBlock:
        members: dict[str, list[int]] = {}
        for name, unit in places:
            members.setdefault(name, []).append(unit)
        name, first = places[0]
        is_zero = all(row is not None and not bool(row.any()) for row in map(self._row, places))
        gap = 0.0
        for other, unit in places[1:]:
            was = self._factor(places[0], (other, unit))
            for side in ("forward", "backward"):
                one = getattr(self.prints[name], side)[first]
                two = getattr(self.prints[other], side)[unit]
                size = float(one.norm())
                gap = max(gap, float((two - was * one).norm()) / size if size and level != "rows" else 0.0)
        return UnitBlock(
            level=level,
            members=tuple(Member(each, tuple(found)) for each, found in members.items()),
            gap=gap,
            rank=self._rank(places) if level == "rows" and not is_zero else None,
            is_zero=is_zero,
            step=self.prints[name].step,
            confirmed=confirmed,
        )

    def _equal_rows(self, kept: list[UnitBlock]) -> Iterator[UnitBlock]:
        """Units with equal rows that their gradients will part: one representative of each kept block."""
        covered = {
            (member.parameter, unit)
            for block in kept
            for index, member in enumerate(block.members)
            for unit in member.units[1 if index == 0 else 0 :]
            if block.level in ("twins", "lumped")
        }
        for name, each in self.prints.items():
            if name not in self.replica.trainable or each.step:
                continue
            for group in equal_groups(each.forward, self.tolerance):
                places = [(name, unit) for unit in group if each.live[unit] and (name, unit) not in covered]
                if len(places) > 1 and self._row(places[0]) is not None and self._rows_equal(places):
                    yield self._block("rows", places, "")

    def _rank(self, places: list[tuple[str, int]]) -> int | None:
        """Rank of the block's first update: the directions in which its rows can part at once."""
        name = places[0][0]
        gradient = self.gradients.get(name)
        rows = row_matrix(gradient, self.prints[name].visits[0].use) if gradient is not None else None
        if rows is None:
            return None
        return int(torch.linalg.matrix_rank(rows[[unit for _, unit in places]], rtol=1e-9))

    def _widths(self, blocks: list[UnitBlock]) -> Iterator[Width]:
        """Units less the copies; idle units that respond alike count once, unless a block has counted them already."""
        extra: dict[str, set[int]] = {}
        for block in blocks:
            if block.level in ("twins", "lumped", "mirrored"):
                for member in block.members:
                    extra.setdefault(member.parameter, set()).update(member.units[1:])
        for name, each in self.prints.items():
            copies = extra.get(name, set())
            asleep = [unit for unit in torch.nonzero(~each.live).flatten().tolist() if unit not in copies]
            idle = sum(len(group) - 1 for group in equal_groups(each.forward[asleep], self.tolerance))
            yield Width(name, len(each.forward), len(each.forward) - len(copies) - idle)
