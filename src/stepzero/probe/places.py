"""Places of a coordinate check: what makes one the same at every width, and what is taken there."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stepzero.probe.nodes import Record
from stepzero.probe.uses import flat_tensors

MOST = 1 << 16
"""Elements of one activation that are kept; of larger ones this many, drawn once for its size."""


class Site(NamedTuple):
    """What makes a place the same in models of different width."""

    module: str
    call: int
    name: str
    """Operation."""
    number: int
    """Among equal operations of that call."""
    kind: str
    """weighted | logits | output."""


class Taken(NamedTuple):
    """What was seen at one place."""

    sample: Tensor | None
    """At most MOST elements, float64; None for logits, of which only the reach counts."""
    reach: float | None = None
    """Of a weight whose entries are 1, with this input and the factors behind it; of logits, their own."""
    parameter: str | None = None
    """The weight."""
    multiplier: float = 1.0
    """Size of the constant factors right in front of a weight and right behind it."""


def names_of(sites: list[Site]) -> dict[Site, str]:
    """A short name for each place: the module alone where that is enough."""
    counts: dict[tuple[str, str], int] = {}
    for site in sites:
        counts[site.module, site.kind] = counts.get((site.module, site.kind), 0) + 1
    seen: dict[str, int] = {}
    names: dict[Site, str] = {}
    for site in sites:
        is_plain = site.kind == "weighted" and counts[site.module, site.kind] == 1 and site.module
        what = "" if is_plain else "attention logits" if site.kind == "logits" else site.name
        name = " ".join(filter(None, [site.module, what]))
        seen[name] = seen.get(name, 0) + 1
        names[site] = name if seen[name] == 1 else f"{name} #{seen[name]}"
    return names


def rms(sample: Tensor) -> float:
    """Root of the mean square; 0 for nothing."""
    return float(sample.detach().square().mean().sqrt()) if sample.numel() else 0.0


def reach_of_product(func: Callable[..., Tensor], args: tuple[Any, ...]) -> float | None:
    """Size of the inner products a b with a and b aligned: sqrt(n sum_i a_i^2 b_i^2) for n terms each.

    Both sums come from the operation itself, run on squares and on ones, so that any contraction will do.
    """
    operands = [operand for operand in flat_tensors(args) if operand.is_floating_point()]
    if len(operands) != 2:
        return None
    squares, ones = (_replaced(args, change) for change in (lambda x: x.detach().square(), torch.ones_like))
    try:
        return float((func(*squares).double() * func(*ones).double()).mean().sqrt())
    except (RuntimeError, TypeError):  # a product of another kind
        return None


def _replaced(args: tuple[Any, ...], change: Callable[[Tensor], Tensor]) -> tuple[Any, ...]:
    return tuple(
        change(each) if isinstance(each, Tensor) else [change(item) for item in each]
        if isinstance(each, list | tuple) and all(isinstance(item, Tensor) for item in each)
        else each
        for each in args
    )  # fmt: skip


def site_of(record: Record, kind: str, found: Mapping[Site, Taken]) -> Site:
    """The place of a record, told from those of the same call that were found before it."""
    key = (record.module, record.call, record.name, kind)
    number = sum((site.module, site.call, site.name, site.kind) == key for site in found)
    return Site(record.module, record.call, record.name, number, kind)


def sample_of(tensor: Tensor) -> Tensor:
    """At most MOST elements in float64, the same ones for every tensor of that size."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() > MOST:
        generator = torch.Generator().manual_seed(flat.numel())
        chosen = torch.randint(flat.numel(), (MOST,), generator=generator)
        flat = flat[chosen.to(flat.device)]
    return flat.to(torch.float64, copy=True)
