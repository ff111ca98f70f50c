"""Which widths may a deep ReLU network have? How far starts differ, and what that costs, against the sum of 1 / n."""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stepzero.lab import fleet, program, starts, tasks
from stepzero.lab.figure import Figure, lines
from stepzero.lab.program import Program
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs, rank_correlation
from stepzero.lab.update import Update
from stepzero.schemes.seeding import generator_for

STACKS = ((50,) * 20, (100,) * 20, (100,) * 50, (30,) * 30, (20, 80) * 10, (40, 160) * 10)
"""Widths of the hidden layers whose signal is followed at the start."""
DRAWS = {"short": 400, "full": 2000}
DEPTH, NUMBERS, RATE, BATCH, LEVEL, STEPS = 10, 4000, 0.02, 32, 0.5, 600
"""Networks that are trained: hidden layers, weights between them, and the loss they have to reach."""
SPREADS = {"short": (1, 2, 4, 8, 12, 16), "full": (1, 1.5, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32)}
"""Wide layer over narrow layer, in turn."""
SEEDS = {"short": 20, "full": 36}
_FACTOR = 5
"""Of the law: He's ReLU layer multiplies the squared length by a factor of variance 5 / n."""


def law(widths: Sequence[int]) -> float:
    """Variance of ln of the squared length that the widths lead to: 5 sum 1 / n (Hanin & Nica 2019)."""
    return _FACTOR * sum(1 / width for width in widths)


def profile(spread: float) -> tuple[int, ...]:
    """Widths in turn wide and narrow by that factor, with about `NUMBERS` weights between them."""
    narrow = math.sqrt(NUMBERS / (DEPTH - 1) / spread)
    return (round(narrow * spread), round(narrow)) * (DEPTH // 2)


def logarithms(widths: Sequence[int], draws: int) -> Tensor:
    """Logarithm of the mean square of the last layer's responses over that of the input, for so many starts [draws]."""
    generator = generator_for(0, f"widths.{widths}")
    x = torch.ones(draws, widths[0], 1, dtype=torch.float64)  # of mean square 1
    for before, width in itertools.pairwise((widths[0], *widths)):
        W = torch.randn(draws, width, before, dtype=torch.float64, generator=generator) * math.sqrt(2 / before)
        x = (W @ x).relu()
    return x.square().mean((1, 2)).log()


def run(effort: Effort, train: Train) -> Answer:  # noqa: ARG001 - widths that differ by layer are no axis of a grid
    """Spread of the length at the start, then steps to a loss, for each profile."""
    lengths = [_length(widths, DRAWS[effort]) for widths in STACKS]
    times = [_time(spread, SEEDS[effort]) for spread in SPREADS[effort]]
    tables = {
        "lengths": Table(("hidden layers", "law", "variance of ln length²", "law of its mean", "mean"), tuple(lengths)),
        "times": Table(
            ("widths in turn", "weights", "law", "late quarter", "median", f"not within {STEPS}", "networks"),
            tuple(times),
        ),
    }
    settings = {
        "draws": DRAWS[effort], "depth": DEPTH, "rate": RATE, "batch": BATCH, "level": LEVEL, "steps": STEPS,
        "seeds": SEEDS[effort], "networks": len(times) * SEEDS[effort], "task": "clusters",
    }  # fmt: skip
    by_law = sorted(times, key=lambda row: row[2])
    facts = {
        "ratios": {row[0]: row[2] / row[1] for row in lengths},
        "rank correlation": rank_correlation([row[2] for row in times], [row[3] for row in times]),
        "even": dict(zip(tables["times"].head, by_law[0], strict=True)),
        "uneven": dict(zip(tables["times"].head, by_law[-1], strict=True)),
    }
    return Answer("widths", effort, settings, tables, facts, _figures(lengths, by_law))


def _length(widths: Sequence[int], draws: int) -> tuple[Any, ...]:
    found, expected = logarithms(widths, draws), law(widths)
    return _words(widths), expected, float(found.var()), -expected / 2, float(found.mean())


def _words(widths: Sequence[int]) -> str:
    if len(set(widths)) == 1:
        return f"{len(widths)} of {widths[0]}"
    return f"{len(widths)} of {widths[0]} and {widths[1]} in turn"


def _time(spread: float, seeds: int) -> tuple[Any, ...]:
    """Steps until the loss is at the level: upper quartile and median over the seeds."""
    widths, samples = profile(spread), tasks.get("clusters")
    made = program.mlp(samples.inputs.shape[1], widths, tasks.num_outputs(samples), "relu")
    numbers = torch.stack([_start(made, seed) for seed in range(seeds)])
    own = fleet.Fleet(made, numbers, torch.full((seeds,), RATE), Update("sgd"))
    order = torch.randint(0, len(samples.inputs), (seeds, STEPS, BATCH), generator=generator_for(0, "widths"))
    losses = own.train_(samples, STEPS, order)
    steps = [first(each.tolist(), LEVEL) for each in losses]
    late = statistics.quantiles([STEPS if each is None else each for each in steps], n=4, method="inclusive")
    weights = sum(before * after for before, after in itertools.pairwise(widths))
    return f"{widths[0]} and {widths[1]}", weights, law(widths), late[2], late[1], steps.count(None), seeds


def _start(made: Program, seed: int) -> Tensor:
    return starts.start(made, weights="he", gain=1.0, biases="zero", bias_scale=0.0, seed=seed)


def first(losses: Sequence[float], level: float) -> int | None:
    """First step at which the mean of the last ten losses is at the level."""
    for step in range(10, len(losses) + 1):
        if statistics.fmean(losses[step - 10 : step]) <= level:
            return step
    return None


def _figures(lengths: Sequence[tuple[Any, ...]], times: Sequence[tuple[Any, ...]]) -> dict[str, Figure]:
    ordered = sorted(lengths, key=lambda row: row[1])
    spread = {
        "measured": [(row[1], row[2]) for row in ordered],
        "law": [(row[1], row[1]) for row in ordered],
    }
    late = {"late quarter": [(row[2], row[3]) for row in times], "median": [(row[2], row[4]) for row in times]}
    across = "5 times the sum of 1 / width"
    return {
        "lengths": lines("Variance of ln of the squared length over starts", across, "variance", spread),
        "times": lines(f"Steps to a loss of {LEVEL:g}", across, "steps", late),
    }


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    even, uneven = facts["even"], facts["uneven"]
    late, missed = "late quarter", f"not within {settings['steps']}"
    return paragraphs(
        "# Which widths may a deep ReLU network have?",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/widths.json; do not edit. -->",
        "He's variance keeps the *mean* squared length of a signal. A single start may still be far off: each layer "
        "of width n multiplies the squared length by a random factor of variance 5 / n, and over the layers these "
        "add up. The logarithm of the squared length varies from start to start with variance β = 5 Σ 1/n and is off "
        "by -β/2 in the mean (Hanin & Nica 2019). So one narrow layer costs more than many wide ones bring, and "
        "Hanin & Rolnick (2018) name the sum of the reciprocal widths as what decides whether training begins.",
        f"**At the start** ({settings['draws']} starts each, float64): measured over predicted variance lies between "
        f"{min(facts['ratios'].values()):.2f} and {max(facts['ratios'].values()):.2f}. The law is the first term of "
        "a series in 1 / n: narrow layers vary by more.",
        answer.tables["lengths"].markdown(),
        "![Variance of the length against the law](figures/widths-lengths.svg)",
        f"**In training, scaled down** (theirs: MNIST; here five clusters in 20 dimensions): {settings['networks']} "
        f"networks of {settings['depth']} hidden layers, wide and narrow in turn, about as many weights between them "
        f"each, gradient descent at {settings['rate']:g}, batches of {settings['batch']}, {settings['seeds']} seeds a "
        f"row. A quarter of the networks needs longer than the late quarter to bring the loss to {settings['level']:g}"
        f": {even[late]:.0f} steps with widths {even['widths in turn']} (β = {even['law']:.1f}), {uneven[late]:.0f} "
        f"with {uneven['widths in turn']} (β = {uneven['law']:.1f}), where {uneven[missed]} of {uneven['networks']} "
        f"do not get there at all (even: {even[missed]}). Rank correlation of β and the late quarter: "
        f"{facts['rank correlation']:.2f}.",
        answer.tables["times"].markdown(),
        "![Steps against the law](figures/widths-times.svg)",
        f"Where a network is not there after {settings['steps']} steps, {settings['steps']} is counted.",
    )


STUDY = Study("widths", "Widths of a deep ReLU network: the sum of their reciprocals", run, page)
