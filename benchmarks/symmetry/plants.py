"""Kinds of planted starts: each changes a network in place and says which units it tied, and by what factor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import nn

from benchmarks.symmetry.nets import Net
from benchmarks.symmetry.spaces import Space, Units, copy_, lump_

NOISE = 1e-2
"""Of the parameter's own rms: what 'copied, then perturbed' adds."""


@dataclass(frozen=True)
class Group:
    """Units whose responses a plant made proportional: ``factors[i]`` is the i-th one's over the first one's."""

    units: tuple[tuple[str, int], ...]
    factors: tuple[float, ...]

    @property
    def members(self) -> Units:
        """The units without their order."""
        return frozenset(self.units)


@dataclass(frozen=True)
class Kind:
    """A planted start: which spaces of a network it can use, and what it does there."""

    spaces: Callable[[Net], list[Space]]
    plant: Callable[[Net, Space, Random], list[Group]]


def _units(net: Net) -> list[Space]:
    return [space for space in net.spaces if space.what == "unit"]


def _of(what: str) -> Callable[[Net], list[Space]]:
    return lambda net: [space for space in net.spaces if space.what == what]


def _grouped(space: Space, chosen: Sequence[int], factors: Sequence[float] | None = None) -> list[Group]:
    """One group a response, its units in the order of ``chosen``."""
    columns = [space.groups([unit]) for unit in chosen]
    ratios = tuple(factors or [1.0] * len(chosen))
    return [Group(tuple(next(iter(one)) for one in together), ratios) for together in zip(*columns, strict=True)]


def _copies(net: Net, space: Space, chosen: Sequence[int], factor: float = 1.0) -> list[Group]:
    for target in chosen[1:]:
        copy_(net.model, space, space.slots, chosen[0], target, factor)
    return _grouped(space, chosen, [1.0] + [factor] * (len(chosen) - 1))


def twins(net: Net, space: Space, random: Random) -> list[Group]:
    """Two units with equal rows, biases and columns."""
    return _copies(net, space, random.sample(range(space.units), 2))


def many_twins(net: Net, space: Space, random: Random) -> list[Group]:
    """Three or more, not all."""
    return _copies(net, space, random.sample(range(space.units), random.randint(3, space.units - 1)))


def end_twins(net: Net, space: Space, random: Random) -> list[Group]:  # noqa: ARG001 - one signature for all
    """The first and the last unit: the last column of a matrix product is often summed by other code."""
    return _copies(net, space, [0, space.units - 1])


def constant_layer(net: Net, space: Space, random: Random) -> list[Group]:
    """Every entry of the rows one constant, every consumer's columns equal."""
    with torch.no_grad():
        for slot in space.rows:
            if slot.responds:
                net.model.get_parameter(slot.parameter).fill_(random.choice([0.1, 0.5, -0.3]))
    return _copies(net, space, list(range(space.units)))


def lumped(net: Net, space: Space, random: Random) -> list[Group]:  # noqa: ARG001 - all spaces at once
    """Blocks of three in every space: equal block sums both ways, though the entries differ."""
    blocks = {each.name: _blocks_of_three(each.units, random) for each in net.spaces}
    lump_(net.model, net.spaces, blocks)
    return [group for each in net.spaces for block in blocks[each.name] for group in _grouped(each, block)]


def equal_rows(net: Net, space: Space, random: Random) -> list[Group]:
    """Equal rows and biases; the columns stay different."""
    chosen = random.sample(range(space.units), random.randint(2, space.units))
    for target in chosen[1:]:
        copy_(net.model, space, space.rows, chosen[0], target)
    return _grouped(space, chosen)


def equal_columns(net: Net, space: Space, random: Random) -> list[Group]:
    """Equal columns alone: no symmetry."""
    chosen = random.sample(range(space.units), 2)
    copy_(net.model, space, space.columns, *chosen)
    return _grouped(space, chosen)


def mirrored(net: Net, space: Space, random: Random) -> list[Group]:
    """Row, bias and column negated under an odd activation."""
    return _copies(net, space, random.sample(range(space.units), 2), -1.0)


def scaled(net: Net, space: Space, random: Random) -> list[Group]:
    """Row, bias and column times one positive factor under a homogeneous activation."""
    return _copies(net, space, random.sample(range(space.units), 2), random.choice([0.5, 1.7, 3.0]))


def perturbed(net: Net, space: Space, random: Random) -> list[Group]:
    """Twins, then noise on every entry of the copy's row."""
    groups = twins(net, space, random)
    generator = torch.Generator().manual_seed(random.randrange(2**31))
    with torch.no_grad():
        for slot in space.rows:
            parameter = net.model.get_parameter(slot.parameter)
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise * parameter.square().mean().sqrt().clamp_min(0.1) * NOISE)
    return groups


def routed_experts(net: Net, space: Space, random: Random) -> list[Group]:
    """Equal experts of one tensor whose router rows differ."""
    chosen = random.sample(range(space.units), 2)
    slots = [slot for slot in space.rows if "router" not in slot.parameter]
    copy_(net.model, space, slots, *chosen)
    return [group for group in _grouped(space, chosen) if "router" not in group.units[0][0]]


def listed_experts(net: Net, space: Space, random: Random, *, with_router: bool = True) -> list[Group]:  # noqa: ARG001
    """Equal experts of a module list, with equal router rows or not."""
    place = net.expert_lists[0]
    experts, router = net.model.get_submodule(f"{place}.experts"), net.model.get_parameter(f"{place}.router.weight")
    assert isinstance(experts, nn.ModuleList)
    first, second = random.sample(range(len(experts)), 2)
    experts[second].load_state_dict(experts[first].state_dict())
    weights = [(name, len(values)) for name, values in experts[first].named_parameters() if values.dim() == 2]
    names = [(f"{place}.experts.{{}}.{name}", units) for name, units in weights]
    groups = [
        Group(((name.format(first), unit), (name.format(second), unit)), (1.0, 1.0))
        for name, units in names
        for unit in range(units)
    ]
    if with_router:
        with torch.no_grad():
            router[second] = router[first]
        groups.append(Group(((f"{place}.router.weight", first), (f"{place}.router.weight", second)), (1.0, 1.0)))
    return groups


def routed_listed_experts(net: Net, space: Space, random: Random) -> list[Group]:
    """Equal experts of a module list whose router rows differ."""
    return listed_experts(net, space, random, with_router=False)


def zero_head(net: Net, space: Space, random: Random) -> list[Group]:
    """The last layer all zero: its units start alike and part at once, those below are not alike at all."""
    weight, bias = (net.model.get_parameter(f"{net.head}.{name}") for name in ("weight", "bias"))
    with torch.no_grad():
        weight.zero_()
        bias.zero_()
    return _grouped(space, random.sample(range(space.units), 2))


def unplanted(net: Net, space: Space, random: Random) -> list[Group]:  # noqa: ARG001 - one signature for all
    """Nothing."""
    return []


def _blocks_of_three(units: int, random: Random) -> list[list[int]]:
    """A random partition; units left over stay alone."""
    order = random.sample(range(units), units)
    whole = units - units % 3
    return [*(order[start : start + 3] for start in range(0, whole, 3)), *([unit] for unit in order[whole:])]


KINDS: dict[str, Kind] = {
    "unplanted": Kind(_units, unplanted),
    "twins": Kind(_units, twins),
    "many twins": Kind(_units, many_twins),
    "twins at both ends": Kind(_units, end_twins),
    "constant layer": Kind(_units, constant_layer),
    "stream twins": Kind(_of("stream"), twins),
    "equal heads": Kind(_of("head"), twins),
    "lumped": Kind(lambda net: list(net.spaces) if net.lumps and _mixes(net) else [], lumped),
    "equal rows": Kind(_units, equal_rows),
    "equal columns": Kind(_units, equal_columns),
    "mirrored": Kind(lambda net: [space for space in _units(net) if space.is_odd], mirrored),
    "scaled": Kind(lambda net: [space for space in _units(net) if space.is_homogeneous], scaled),
    "copied, then noise": Kind(_units, perturbed),
    "equal experts": Kind(_of("expert"), twins),
    "equal experts, other router rows": Kind(_of("expert"), routed_experts),
    "equal listed experts": Kind(lambda net: list(net.spaces) if net.expert_lists else [], listed_experts),
    "equal listed experts, other router rows": Kind(
        lambda net: list(net.spaces) if net.expert_lists else [], routed_listed_experts
    ),
    "zero head": Kind(_units, zero_head),
}


def _mixes(net: Net) -> bool:
    """Whether some weight stands between two spaces, or a space and itself: else lumped units are twins."""
    rows = {slot.parameter for space in net.spaces for slot in space.rows if slot.responds}
    return any(slot.parameter in rows for space in net.spaces for slot in space.columns)
