"""Which symmetry matters: equal rows, equal columns, both, or equal layers? Effective width while training."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stepzero.lab import fleet, program, starts, tasks
from stepzero.lab.program import Program
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs
from stepzero.lab.train import follow
from stepzero.lab.update import Update

WIDTH, LAYERS, BATCH = 16, 3, 32
RATES = {"sgd": 0.1, "adam": 0.003}
STEPS = {"short": 300, "full": 1000}
SEEDS = {"short": 4, "full": 10}


def _rows(made: Program, numbers: Tensor) -> None:
    W, _ = _weight(made, numbers, 1)
    W.copy_(W[:1].clone().expand_as(W))


def _columns(made: Program, numbers: Tensor) -> None:
    W, _ = _weight(made, numbers, 2)
    W.copy_(W[:, :1].clone().expand_as(W))


def _both(made: Program, numbers: Tensor) -> None:
    _rows(made, numbers)
    _columns(made, numbers)


def _biased(made: Program, numbers: Tensor) -> None:
    _both(made, numbers)
    _, bias = _weight(made, numbers, 1)
    bias.copy_(torch.linspace(-0.5, 0.5, len(bias)))


def _layers(made: Program, numbers: Tensor) -> None:
    first = made.layers[1]
    for layer in made.layers[2:-1]:
        numbers[layer.offset : layer.bias] = numbers[first.offset : first.bias]


def _weight(made: Program, numbers: Tensor, index: int) -> tuple[Tensor, Tensor]:
    layer = made.layers[index]
    W = numbers[layer.offset : layer.bias].view(layer.rows, layer.columns)
    return W, numbers[layer.bias : layer.bias + layer.rows]


KINDS: dict[str, Callable[[Program, Tensor], None]] = {
    "nothing equal": lambda made, numbers: None,  # noqa: ARG005 - nothing is changed
    "rows equal": _rows,
    "columns equal": _columns,
    "rows and columns equal": _both,
    "rows and columns equal, biases differ": _biased,
    "layers equal": _layers,
}
"""What is made equal in the second hidden layer (rows), in what reads it (columns), or between layers."""


def run(effort: Effort, train: Train) -> Answer:  # noqa: ARG001 - starts of its own, a few seconds
    """Effective width of the second hidden layer and final loss, for each kind and optimizer."""
    made, samples = program.mlp(20, [WIDTH] * LAYERS, 5, "tanh"), tasks.get("clusters")
    measure, rows = (0, 1, 10, STEPS[effort]), []
    for optimizer, rate in RATES.items():
        for kind, plant in KINDS.items():
            numbers = torch.stack([_start(made, plant, seed) for seed in range(SEEDS[effort])])
            own = fleet.Fleet(made, numbers, torch.full((len(numbers),), rate), Update(optimizer))
            followed = follow(own, samples, measure, range(len(numbers)), BATCH)
            widths = [_range(followed, place) for place in range(len(measure))]
            losses = sorted(points[-1].loss for points in followed)
            rows.append((optimizer, kind, *widths, losses[len(losses) // 2]))
    head = ("optimizer", "start", *(f"width at step {step}" for step in measure), "loss at the end (median)")
    settings = {"width": WIDTH, "layers": LAYERS, "steps": STEPS[effort], "seeds": SEEDS[effort], "batch": BATCH,
                "rates": RATES, "task": "clusters"}  # fmt: skip
    facts = {f"{row[0]}: {row[1]}": {"widths": row[2:-1], "loss": row[-1]} for row in rows}
    return Answer("symmetry", effort, settings, {"widths": Table(head, tuple(rows))}, facts)


def _start(made: Program, plant: Callable[[Program, Tensor], None], seed: int) -> Tensor:
    numbers = starts.start(made, weights="lecun", gain=1.0, biases="zero", bias_scale=0.0, seed=seed)
    plant(made, numbers)
    return numbers


def _range(followed: list[Any], place: int) -> str:
    """Smallest and largest effective width of the second hidden layer over the seeds."""
    widths = [points[place].layers[1].effective_width for points in followed]
    return str(min(widths)) if min(widths) == max(widths) else f"{min(widths)} to {max(widths)}"


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    both = facts["sgd: rows and columns equal"]["widths"]
    rows = facts["sgd: rows equal"]["widths"]
    return paragraphs(
        "# Rows, columns or layers: which symmetry matters?",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/symmetry.json; do not edit. -->",
        "The symmetry that hurts is between the units of one layer. Equal rows and biases give equal responses, equal "
        "columns in the layer above give equal gradients; copies for ever need both. Layers that are copies of each "
        "other separate at the first step, because each sees another input.",
        f"**Tried here:** tanh, {settings['layers']} hidden layers of {settings['width']}, clusters in 20 dimensions, "
        f"{settings['seeds']} seeds, {settings['steps']} steps. The effective width is that of the second hidden "
        "layer: units that differ in what they respond or in what gradient they receive.",
        f"With rows and columns equal it is {both[0]} of {settings['width']} at the start and {both[-1]} at the end "
        f"(gradient descent); with rows alone {rows[0]} at the start and {rows[-1]} at the end, since the gradients "
        "differ from the start on. Equal columns alone are harmless: a head of zeros is such a case. One bias that "
        "differs is enough to tell units apart.",
        answer.tables["widths"].markdown(),
    )


STUDY = Study("symmetry", "Equal rows, columns or layers: effective width while training", run, page)
