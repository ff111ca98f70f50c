"""What every checker is asked about: a bad and a good start, from a folder of real bugs or from planted faults."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.cases import load

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


def of_faults() -> Iterator[Pair]:
    """Planted faults that training found to hurt, and the harmless twins; all in networks held back from the rules.

    They are those of the last full run of ``benchmarks.faults``; a fault that was not trained, or did not hurt, is not
    asked about.
    """
    for each in json.loads(TRIALS.read_text())["held"]["trials"]:
        if each["is_twin"] or each["hurts"]:
            place = each["net"], each["kind"], each["seed"]
            name = f"{each['kind']}, {each['net']}, {each['seed']}"
            yield Pair(name, partial(_planted, *place), partial(_sound, each["net"], each["seed"]), each["is_twin"])


def _planted(net: str, kind: str, seed: int) -> Any:
    from benchmarks.faults.trial import Case

    made = Case(net, kind, seed).planted()
    assert made is not None, "it was planted before"
    return _made(made[0])


def _sound(net: str, seed: int) -> Any:
    from benchmarks.faults.networks import networks

    return _made(networks()[net].subject(seed))


def _made(subject: Any) -> tuple[nn.Module, Any, Callable[[Any], torch.Tensor]]:
    inputs, targets = subject.batch(torch.Generator().manual_seed(7), subject.checked)
    model = subject.factory() if subject.factory else subject.model
    return model, (inputs,), lambda output: subject.loss(output, targets)
