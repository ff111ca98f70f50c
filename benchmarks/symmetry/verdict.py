"""What the probe says of groups of units at step zero, and what each level foretells for each optimizer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from benchmarks.symmetry.layers import ExpertLinear, Transposed
from benchmarks.symmetry.outcome import responses
from benchmarks.symmetry.plants import Group
from benchmarks.symmetry.population import Case

Observe = Callable[[nn.Module, Any, Any], Any]
"""Maps model, batch and loss to the ``symmetry`` record of a Trace."""

ADAPTIVE = frozenset(["adam", "adamw", "adam+l2"])
STRENGTH = ("twins", "lumped", "mirrored", "scaled", "rows")
NONE = "no block"
NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Verdict:
    """The blocks of one network, and the groups beyond the planted ones that they ask to be checked."""

    ran: bool
    reason: str
    blocks: tuple[tuple[str, frozenset[tuple[str, int]]], ...]
    """(level, units)."""

    def level(self, group: Group) -> str:
        """The strongest level whose block holds all of the group."""
        if not self.ran:
            return NOT_JUDGED
        found = {level for level, units in self.blocks if group.members <= units}
        return next((level for level in STRENGTH if level in found), NONE)


def observe(model: nn.Module, batch: Any, loss: Any) -> Any:
    """The symmetry record of this model at this batch."""
    import stepzero

    return stepzero.trace(model, batch, loss, probes=("symmetry",)).symmetry


def judge(case: Case, observe: Observe = observe) -> Verdict:
    """Run the probe on a fresh copy of the case."""
    fact = observe(*case.subject())
    if fact is None:
        return Verdict(ran=False, reason="no symmetry record on the Trace", blocks=())
    blocks = tuple(
        (block.level, frozenset((member.parameter, unit) for member in block.members for unit in member.units))
        for block in fact.blocks
    )
    return Verdict(fact.ran, fact.reason, blocks)


def foretold(level: str, optimizer: str) -> str:
    """stay or part: what a level means under an optimizer; empty when nothing was judged."""
    if level == NOT_JUDGED:
        return ""
    stays = {
        "twins": True,
        "mirrored": True,
        "lumped": optimizer != "adam+l2",
        "scaled": optimizer not in ADAPTIVE,
    }
    return "stay" if stays.get(level, False) else "part"


def beyond(case: Case, verdict: Verdict) -> tuple[list[Group], list[str]]:
    """Blocks that no plant explains, as groups to be trained; and those whose units have no response to read."""
    extra, unread = [], []
    for level, units in verdict.blocks:
        if any(units <= group.members for group in case.planted):
            continue
        if not all(_is_readable(case.model, name) for name, _ in units):
            unread.append(f"{level}: {sorted({name for name, _ in units})}")
            continue
        extra.append(_group(case, level, sorted(units)))
    return extra, unread


def _is_readable(model: nn.Module, name: str) -> bool:
    place, _, last = name.rpartition(".")
    module = model.get_submodule(place)
    return last == "weight" and isinstance(module, nn.Linear | nn.Conv2d | Transposed | ExpertLinear)


def _group(case: Case, level: str, units: Sequence[tuple[str, int]]) -> Group:
    """The units with their factors as the start shows them."""
    if level not in ("mirrored", "scaled"):
        return Group(tuple(units), (1.0,) * len(units))
    seen = responses(case.subject()[0], case.probe_inputs, {name for name, _ in units})
    rows = [seen[name][unit] for name, unit in units]
    return Group(tuple(units), tuple(_ratio(row, rows[0]) for row in rows))


def _ratio(row: Tensor, first: Tensor) -> float:
    """Least squares: how many times ``first`` makes ``row``."""
    power = float(first.square().sum())
    ratio = float((row * first).sum()) / power if power else 1.0
    return ratio if ratio and math.isfinite(ratio) else 1.0
