"""Spaces of interchangeable units, and what it takes to make two units one: the same operation for neurons,
channels, heads, experts, coordinates of a residual stream and recurrent states."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Units = frozenset[tuple[str, int]]
"""Units of one group, each as (parameter, index along the parameter's axes that are not contracted with the data)."""


@dataclass(frozen=True)
class Slot:
    """An axis of a parameter that runs over a space, seen as [repeat, units, size]: packed projections repeat,
    heads and flattened maps have a size."""

    parameter: str
    axis: int = 0
    repeat: int = 1
    size: int = 1
    responds: int = 0
    """Units of the parameter for each unit of the space whose response can be read; 0: none (a bias, a column)."""

    def view(self, values: Tensor, units: int) -> Tensor:
        """``values`` as [units, ...], a view that writes through."""
        return values.unflatten(self.axis, (self.repeat, units, self.size)).movedim(self.axis + 1, 0)

    def groups(self, units: int, chosen: Sequence[int]) -> list[Units]:
        """The groups of this parameter's units that ``chosen`` units of the space make."""
        block = units * self.responds
        starts = [copy * block + part for copy in range(self.repeat) for part in range(self.responds)]
        return [frozenset((self.parameter, start + unit * self.responds) for unit in chosen) for start in starts]


@dataclass(frozen=True)
class Space:
    """``units`` that a permutation of all ``rows`` and ``columns`` at once leaves the network unchanged by."""

    name: str
    what: str
    """unit | head | expert | stream."""
    units: int
    rows: tuple[Slot, ...]
    columns: tuple[Slot, ...]
    is_odd: bool = False
    """Flipping the sign of a row and its column changes nothing."""
    is_homogeneous: bool = False
    """A positive factor passes through."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every place where a unit has parameters."""
        return self.rows + self.columns

    def groups(self, chosen: Sequence[int]) -> list[Units]:
        """Groups of units, one for each response that ``chosen`` units of the space have."""
        return [group for slot in self.rows for group in slot.groups(self.units, chosen)]


@torch.no_grad()
def copy_(model: nn.Module, space: Space, slots: Iterable[Slot], source: int, target: int, factor: float = 1) -> None:
    """Make ``target`` equal ``factor`` times ``source`` in the given slots, one after the other."""
    for slot in slots:
        view = slot.view(model.get_parameter(slot.parameter), space.units)
        view[target] = factor * view[source]


@torch.no_grad()
def lump_(model: nn.Module, spaces: Sequence[Space], blocks: dict[str, list[list[int]]]) -> None:
    """Project every parameter on what keeps the blocks of all spaces together (theory: equal block sums both ways).

    ``blocks`` gives the partition of each space by its name; an axis of no space is made of blocks of one.
    """
    for name, parameter in model.named_parameters():
        axes = {slot.axis: (space, slot) for space in spaces for slot in space.slots if slot.parameter == name}
        parameter.copy_(_projected(parameter, axes, blocks))


def _projected(values: Tensor, axes: dict[int, tuple[Space, Slot]], blocks: dict[str, list[list[int]]]) -> Tensor:
    result = values.clone()
    if 0 in axes and 1 in axes:
        (above, first), (below, second) = axes[0], axes[1]
        seen = result.unflatten(1, (below.units, second.size)).unflatten(0, (first.repeat, above.units))
        for rows in blocks[above.name]:
            for columns in blocks[below.name]:
                _even_sums_(seen, rows, columns)
        return result
    for space, slot in axes.values():
        view = slot.view(result, space.units)
        for block in blocks[space.name]:
            view[block] = view[block].mean(0, keepdim=True).expand_as(view[block])
    return result


def _even_sums_(seen: Tensor, rows: list[int], columns: list[int]) -> None:
    """Give ``seen`` [repeat, rows, columns, ...] equal row sums and equal column sums within one pair of blocks."""
    part = seen[:, rows][:, :, columns]
    across, down = part.mean(2, keepdim=True), part.mean(1, keepdim=True)
    even = part - across - down + 2 * part.mean((1, 2), keepdim=True)
    for index, row in enumerate(rows):
        seen[:, row, columns] = even[:, index]
