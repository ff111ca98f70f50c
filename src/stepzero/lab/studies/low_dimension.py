"""Zero biases in one dimension: the kernel has rank four, and what it costs."""

from typing import Any

import torch
from torch import Tensor

from stepzero.lab import fleet, program, starts, tasks
from stepzero.lab.program import Program
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs
from stepzero.lab.task import Samples
from stepzero.lab.update import Update
from stepzero.schemes.seeding import generator_for

WIDTH, RATE = 100, 0.01
STEPS = {"short": 1000, "full": 3000}
SEEDS = {"short": 3, "full": 10}
DEPTHS = (1, 3)
LAWS = ("zero", "+0.1", "uniform", "kinks on the data")
NEGLIGIBLE = 1e-9
"""Singular values below this share of the largest count as zero."""


def start(made: Program, law: str, seed: int, points: Tensor) -> Tensor:
    """He weights; biases of the first layer by the law, all others zero."""
    numbers = starts.start(made, weights="he", gain=1.0, biases="zero", bias_scale=0.0, seed=seed, dtype=torch.float64)
    layer = made.layers[0]
    row, bias = numbers[layer.offset : layer.bias], numbers[layer.bias : layer.bias + layer.rows]
    generator = generator_for(seed, "body.0.bias")
    if law == "+0.1":
        bias.fill_(0.1)
    elif law == "uniform":
        bias.uniform_(-1, 1, generator=generator)
    elif law == "kinks on the data":
        chosen = torch.randint(0, len(points), bias.shape, generator=generator)
        bias.copy_(-row * points[chosen, 0])
    return numbers


def rank(made: Program, numbers: Tensor, inputs: Tensor) -> int:
    """Rank of the tangent kernel: of the matrix of gradients of the output, one row a sample."""
    gradients = []
    for x in inputs:
        sample = Samples(x[None].contiguous(), torch.zeros(1, 1, dtype=torch.float64), "mse")
        _, values, *_ = fleet.observe(made, numbers[None], sample)
        # Half below the output, so that the gradient of the squared error is that of the output itself.
        target = values[:, -1] - 0.5
        *_, gradient = fleet.observe(made, numbers[None], Samples(sample.inputs, target.contiguous(), "mse"))
        gradients.append(gradient[0])
    singular = torch.linalg.svdvals(torch.stack(gradients))
    return int((singular > NEGLIGIBLE * singular[0]).sum())


def run(effort: Effort, train: Train) -> Answer:  # noqa: ARG001 - starts of its own, a few seconds
    """Rank at the start and error after training, for each law, depth and interval."""
    found = tasks.get("sine")
    x, y = found.inputs.double(), found.targets.double()
    rows = []
    for depth in DEPTHS:
        made = program.mlp(1, [WIDTH] * depth, 1, "relu")
        for law in LAWS:
            both, right = (_row(made, law, effort, *part) for part in ((x, y), ((x + 1) / 2, y)))
            rows.append((depth, law, both[0], both[1], right[0], right[1]))
    head = ("hidden layers", "biases of the first", "rank on [-1, 1]", "error", "rank on [0, 1]", "error there")
    settings = {"width": WIDTH, "rate": RATE, "steps": STEPS[effort], "seeds": SEEDS[effort], "points": len(x)}
    facts = {f"{row[0]} {row[1]}": dict(zip(head[2:], row[2:], strict=True)) for row in rows}
    return Answer("low-dimension", effort, settings, {"laws": Table(head, tuple(rows))}, facts)


def _row(made: Program, law: str, effort: Effort, x: Tensor, y: Tensor) -> tuple[int, float]:
    """Largest rank over the seeds, and the median error after training."""
    x = x[x[:, 0] != 0]
    y = y[: len(x)]
    numbers = torch.stack([start(made, law, seed, x) for seed in range(SEEDS[effort])])
    ranks = [rank(made, each, x) for each in numbers]
    own = fleet.Fleet(made, numbers, torch.full((len(numbers),), RATE), Update("adam"))
    samples = Samples(x.contiguous(), y.contiguous(), "mse")
    own.train_(samples, STEPS[effort])
    losses, *_ = fleet.observe(made, own.weights, samples)
    return max(ranks), float(losses.median())


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    zero, kinks = facts["1 zero"], facts["1 kinks on the data"]

    def better(key: str) -> str:
        return f"{zero[key] / kinks[key]:.0f}"

    def number(facts: dict[str, Any], key: str) -> str:
        return f"{facts[key]:.2g}"

    return paragraphs(
        "# When zero biases hurt: low-dimensional inputs",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/low-dimension.json; do not edit. -->",
        "A ReLU network without biases is positively homogeneous: on a line through the origin every kink lies at the "
        "origin, and the gradients of all parameters span four directions, whatever its width and depth (two if all "
        "inputs are positive). In one dimension that is all there is.",
        f"**Tried here:** sin(2πx) on {settings['points']} points (on [0, 1] the same values, inputs moved), He "
        f"weights, {settings['width']} units a layer, Adam at {settings['rate']:g}, {settings['steps']} steps, "
        f"{settings['seeds']} seeds, float64.",
        f"One hidden layer with zero biases: rank {zero['rank on [-1, 1]']} and an error of {number(zero, 'error')}; "
        f"with kinks on the data (bias = -weight times a random training point): rank {kinks['rank on [-1, 1]']} and "
        f"{number(kinks, 'error')}, {better('error')} times less, on [0, 1] {better('error there')} times less.",
        answer.tables["laws"].markdown(),
    )


STUDY = Study("low-dimension", "Zero biases in one dimension: rank and error", run, page)
