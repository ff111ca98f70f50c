"""Deep linear networks: the time to learn from orthogonal weights and from Gaussian ones, by depth."""

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stepzero.lab import fleet, program, starts
from stepzero.lab.figure import lines
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs
from stepzero.lab.task import Samples
from stepzero.lab.update import Update
from stepzero.schemes.seeding import generator_for

WIDTH, OUTPUTS, SAMPLES, LEVEL = 16, 4, 32, 0.01
"""Units of a layer and inputs, outputs, samples, and the share of the targets' variance that may be left."""
RATES = tuple(0.02 * 2 ** (step / 1.5) for step in range(12))
"""Twelve, times outputs and divided by the number of layers: the mean over outputs divides the gradient."""
DEPTHS = {"short": (2, 4, 8, 16, 32, 64, 128), "full": (2, 4, 8, 16, 32, 64, 128, 256)}
STEPS = {"short": 400, "full": 800}
SEEDS = {"short": 2, "full": 5}
LAWS = {"orthogonal": "orthogonal", "Gaussian": "lecun"}


def samples() -> Samples:
    """Whitened inputs and what a random linear map of variance one makes of them: singular values far apart."""
    generator = generator_for(0, "task.linear-map")
    x = torch.randn(SAMPLES, WIDTH, generator=generator, dtype=torch.float64)
    x = torch.linalg.qr(x - x.mean(0)).Q * SAMPLES**0.5
    y = x @ torch.randn(WIDTH, OUTPUTS, generator=generator, dtype=torch.float64)
    return Samples(x.float().contiguous(), (y / y.std()).float().contiguous(), "mse")


def steps(law: str, layers: int, seed: int, limit: int) -> Tensor:
    """Steps to the level at each rate [rates]; inf where it is not reached."""
    made = program.mlp(WIDTH, [WIDTH] * (layers - 1), OUTPUTS, "identity")
    start = starts.start(made, weights=law, gain=1.0, biases="zero", bias_scale=0.0, seed=seed)
    lrs = torch.tensor(RATES) * OUTPUTS / layers
    own = fleet.Fleet(made, start.repeat(len(lrs), 1), lrs, Update("sgd"))
    is_there = own.train_(samples(), limit) <= LEVEL
    found = is_there.double().argmax(1).double()
    return found.masked_fill(~is_there.any(1), torch.inf)


def run(effort: Effort, train: Train) -> Answer:  # noqa: ARG001 - a task of its own, and seconds each
    """The median over the seeds at the best rate, for each law and depth."""
    rows = []
    for layers in DEPTHS[effort]:
        times = [_best(law, layers, effort) for law in LAWS.values()]
        rows.append((layers, *(cell for pair in times for cell in pair)))
    head = ("weight layers", *(cell for name in LAWS for cell in (f"steps, {name}", f"learned, {name}")))
    settings = {
        "width": WIDTH, "outputs": OUTPUTS, "samples": SAMPLES, "level": LEVEL, "steps": STEPS[effort],
        "seeds": SEEDS[effort], "rates": list(RATES), "networks": 2 * len(rows) * SEEDS[effort] * len(RATES),
    }  # fmt: skip
    facts: dict[str, Any] = {
        "layers": [row[0] for row in rows],
        **{name: [row[1 + 2 * place] for row in rows] for place, name in enumerate(LAWS)},
    }
    series = {name: _shown(facts["layers"], facts[name]) for name in LAWS}
    title = f"Steps until {LEVEL:.0%} of the variance is left, at the best of {len(RATES)} rates"
    figure = lines(title, "weight layers", "steps", series, is_log_x=True, is_log_y=True)
    return Answer("linear", effort, settings, {"times": Table(head, tuple(rows))}, facts, {"times": figure})


def _best(law: str, layers: int, effort: Effort) -> tuple[float | None, str]:
    """Median steps at the rate with the smallest one (None: most do not learn at any), and how many learned there."""
    found = torch.stack([steps(law, layers, seed, STEPS[effort]) for seed in range(SEEDS[effort])])
    medians = [statistics.median(column) for column in found.T.tolist()]
    place = min(range(len(medians)), key=lambda rate: medians[rate])
    learned = f"{int(found[:, place].isfinite().sum())}/{len(found)}"
    return (None if medians[place] == torch.inf else medians[place]), learned


def _shown(layers: Sequence[int], times: Sequence[float | None]) -> list[tuple[float, float]]:
    return [(float(count), time) for count, time in zip(layers, times, strict=True) if time is not None]


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    fast, slow, layers = facts["orthogonal"], facts["Gaussian"], facts["layers"]
    gone = [count for count, time in zip(layers, slow, strict=True) if time is None]
    shown = [(count, time) for count, time in zip(layers, slow, strict=True) if time is not None]
    ending = (
        f"from {gone[0]} layers on they do not get there in {settings['steps']} steps at any of the rates."
        if gone
        else "they reach it at every depth tried."
    )
    return paragraphs(
        "# Does depth slow learning down?",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/linear.json; do not edit. -->",
        "In a deep *linear* network depth adds nothing to what can be expressed, so it shows what depth does to "
        "learning. Saxe, McClelland & Ganguli (2014) solved its dynamics: from orthogonal weights the time to learn "
        "does not depend on depth, when each depth has its best learning rate; from Gaussian weights of the same "
        "variance it grows, since their product keeps ever fewer directions although the mean length is kept.",
        f"**Tried here, scaled down** (theirs: MNIST): {settings['width']} inputs and units a layer, "
        f"{settings['outputs']} outputs, {settings['samples']} whitened samples of a random linear map, all of them in "
        f"each step, gradient descent at {len(settings['rates'])} rates (from {settings['rates'][0]:.2g} to "
        f"{settings['rates'][-1]:.2g} times the outputs over the layers), {settings['seeds']} seeds, "
        f"{settings['networks']} networks in all. Learned: {settings['level']:.0%} of the targets' variance is left.",
        f"From orthogonal weights {layers[0]} layers need {fast[0]:g} steps and {layers[-1]} layers {fast[-1]:g}. From "
        f"Gaussian ones {shown[0][0]} layers need {shown[0][1]:g} and {shown[-1][0]} layers {shown[-1][1]:g}; {ending}",
        "![Steps by depth](figures/linear-times.svg)",
        answer.tables["times"].markdown(),
        "An empty cell: at no rate did half of the seeds get there. Counts are those at the best rate.",
    )


STUDY = Study("linear", "Deep linear networks: orthogonal weights learn in the same time at any depth", run, page)
