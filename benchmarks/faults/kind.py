"""A kind of fault, and a place where it can be planted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from benchmarks.faults.subject import Subject

Write = Callable[[Random], object]


@dataclass(frozen=True)
class Site:
    """Where a fault can go: the parameters and modules a report may name, and what writes it.

    ``where`` is empty when the fault is everywhere or in nothing that has a name (the data, the loss).
    """

    where: tuple[str, ...] | Callable[[], tuple[str, ...]]
    """Names, or what finds them when the site has been chosen."""
    write: Write


@dataclass(frozen=True)
class Kind:
    """``sites`` lists where it can go in a subject; ``codes`` are those that name it, not what follows from it."""

    codes: frozenset[str]
    sites: Callable[[Subject], list[Site]]


def kind(codes: str, sites: Callable[[Subject], Iterable[Site]]) -> Kind:
    """Codes without their letters, separated by spaces."""
    return Kind(frozenset(f"SZ{code}" for code in codes.split()), lambda subject: list(sites(subject)))


def generator(rng: Random) -> torch.Generator:
    return torch.Generator().manual_seed(rng.randrange(2**31))


def normal_(value: Tensor, std: float, rng: Random) -> None:
    """Draw anew."""
    value.normal_(0.0, std, generator=generator(rng))


def plant(subject: Subject, what: Kind, seed: str) -> tuple[str, ...] | None:
    """Write the fault at one of its sites, chosen by the seed; its places, or None when there is no site."""
    rng = Random(seed)
    with torch.no_grad():
        sites = what.sites(subject)
        if not sites:
            return None
        site = rng.choice(sites)
        where = site.where() if callable(site.where) else site.where
        site.write(rng)
    return where
