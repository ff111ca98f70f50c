"""What every checker is asked about: a bad and a good start, from a folder of real bugs or from planted faults."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.cases import load

Make = Callable[[], tuple[nn.Module, Any, Callable[[Any], torch.Tensor]]]
"""A factory: model, its positional arguments, output -> scalar loss."""


@dataclass(frozen=True)
class Pair:
    """``bad`` has to be found and ``good`` not; where ``is_twin``, ``bad`` does no harm: nothing may be said of it."""

    name: str
    bad: Make
    good: Make
    is_twin: bool = False


def of_folder(folder: Path) -> Iterator[Pair]:
    """Files with `buggy` and `fixed`."""
    for file in sorted(folder.glob("*.py")):
        if not file.name.startswith("_"):
            case = load(file)
            yield Pair(case.META["id"], case.buggy, case.fixed)


class NoPlaceError(Exception):
    """The network has no part for that kind of fault."""


def of_faults() -> Iterator[tuple[Pair, ...]]:
    """For every kind of fault and every harmless twin the pairs to try in turn, until one has a place for it."""
    from benchmarks.faults.networks import networks
    from benchmarks.faults.trial import FAULTS, TWINS

    names = [name for name, net in networks().items() if not net.is_held and not net.needs]
    for turn, kind in enumerate((*FAULTS, *TWINS)):
        turned = (*names[turn % len(names) :], *names[: turn % len(names)])
        yield tuple(
            Pair(f"{kind}, {name}", partial(_planted, kind, name), partial(_sound, name), kind in TWINS)
            for name in turned
        )


def _planted(kind: str, name: str) -> Any:
    from benchmarks.faults.trial import Case

    if (made := Case(name, kind, 0).planted()) is None:
        raise NoPlaceError
    return _made(made[0])


def _sound(name: str) -> Any:
    from benchmarks.faults.networks import networks

    return _made(networks()[name].subject(0))


def _made(subject: Any) -> tuple[nn.Module, Any, Callable[[Any], torch.Tensor]]:
    inputs, targets = subject.batch(torch.Generator().manual_seed(7), subject.checked)
    model = subject.factory() if subject.factory else subject.model
    return model, (inputs,), lambda output: subject.loss(output, targets)
