"""What the symmetry probe found: groups of units that cannot be told apart, and how many different ones a layer has."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["twins", "lumped", "rows", "mirrored", "scaled"]
"""twins and lumped: equal responses and equal gradients, with equal rows or not; rows: equal rows, different
gradients; mirrored: factor -1 in both; scaled: one positive factor in responses and gradients alike."""

FOREVER: frozenset[Level] = frozenset(["twins", "lumped", "mirrored"])
"""Levels that plain gradient training keeps whatever the data, the loss and the order of batches."""


@dataclass(frozen=True, slots=True)
class Member:
    """Units of one weight: indices along the axes of the parameter that are not contracted with the data."""

    parameter: str
    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UnitBlock:
    """Two or more units that one relation holds together."""

    level: Level
    members: tuple[Member, ...]
    """One entry a weight; several when the units stand in different layers (experts, critics, shards)."""
    gap: float
    """Largest relative difference between two members' responses and gradients, float64."""
    rank: int | None = None
    """Level ``rows``, unless the rows are zero: directions in which they can part at the first step."""
    is_zero: bool = False
    """Whether the rows are all zero."""
    step: int = 0
    """Virtual step at which both responses and gradients could be compared; 0 is the start itself."""
    confirmed: str = ""
    """Which virtual optimizer steps kept the relation: ``elementwise`` (every update that treats all entries alike,
    coupled weight decay under Adam included), ``linear`` (plain gradient steps and Adam alone), empty for rows."""

    @property
    def size(self) -> int:
        """Units in the block."""
        return sum(len(member.units) for member in self.members)


@dataclass(frozen=True, slots=True)
class Width:
    """How many of a weight's units differ."""

    parameter: str
    units: int
    distinct: int

    @property
    def share(self) -> float:
        """Effective width, 0 to 1: distinct over all."""
        return self.distinct / self.units if self.units else 1.0


@dataclass(frozen=True, slots=True)
class Siblings:
    """Tensors in different storage with equal content."""

    parameters: tuple[str, ...]
    is_frozen: bool
    """Whether at least one of them takes no gradient: a target network, a teacher."""


@dataclass(frozen=True, slots=True)
class SymmetryFact:
    """Result of the symmetry probe; ``reason`` says why it did not run, or what limits it."""

    ran: bool
    reason: str = ""
    dtype: str = "float64"
    blocks: tuple[UnitBlock, ...] = ()
    widths: tuple[Width, ...] = ()
    siblings: tuple[Siblings, ...] = ()
    tokens: tuple[UnitBlock, ...] = ()
    """Rows of learned tables (queries, slots, prompts) that respond alike and get equal gradients for ever."""
    certificate: str = ""
    """Plain stacks: whether colour refinement of the weights, without any data, finds the same blocks."""


NO_SYMMETRY = SymmetryFact(ran=False)
"""The probe was not asked for, or the first pass gave no reason to run it."""
