"""What every checker is asked about: a bad and a good start, from a folder of real bugs or from planted faults."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.cases import load
from benchmarks.faults.networks import networks
from benchmarks.faults.trial import Case

TRIALS = Path(__file__).parents[1] / "results" / "faults.json"
"""Which planted faults hurt, as training found."""

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


@dataclass(frozen=True)
class Network:
    """A network with a fault planted in it, or as it was where ``kind`` is empty; called, a `Make`."""

    net: str
    kind: str
    seed: int

    def __call__(self) -> tuple[nn.Module, Any, Callable[[Any], torch.Tensor]]:
        """Build it."""
        model, args, loss = self.given()
        return model if isinstance(model, nn.Module) else model(), args, loss

    def given(self) -> tuple[Any, Any, Callable[[Any], torch.Tensor]]:
        """The same, with a factory of the model only where the fault shows while that runs.

        The planting itself must not be seen as the network being built: the fault would be told by that alone.
        """
        subject = self._subject()
        inputs, targets = subject.batch(torch.Generator().manual_seed(7), subject.checked)
        return subject.factory or subject.model, (inputs,), lambda output: subject.loss(output, targets)

    def _subject(self) -> Any:
        if not self.kind:
            return networks()[self.net].subject(self.seed)
        made = Case(self.net, self.kind, self.seed).planted()
        assert made is not None, "it was planted before"
        return made[0]


def of_faults() -> Iterator[Pair]:
    """Planted faults that training found to hurt, and the harmless twins; all in networks held back from the rules.

    They are those of the last full run of ``benchmarks.faults``; a fault that was not trained, or did not hurt, is not
    asked about.
    """
    for data in {net.data for net in networks().values() if net.is_held}:
        data()  # loads its packages before a child is forked
    for each in json.loads(TRIALS.read_text())["held"]["trials"]:
        if each["is_twin"] or each["hurts"]:
            net, kind, seed = each["net"], each["kind"], each["seed"]
            yield Pair(f"{kind}, {net}, {seed}", Network(net, kind, seed), Network(net, "", seed), each["is_twin"])
