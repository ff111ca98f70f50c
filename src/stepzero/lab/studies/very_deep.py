"""Can a plain network of thousands of layers learn? Critical orthogonal weights against Gaussian ones."""

from typing import Any

import torch

from stepzero.lab import fleet, program, starts, tasks
from stepzero.lab.figure import lines
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs
from stepzero.lab.update import Update
from stepzero.measure.gain import activation_gain
from stepzero.schemes.seeding import generator_for

WIDTH, BATCH, SEED = 16, 32, 0
DEPTHS = {"short": (30, 100, 300, 1000), "full": (100, 300, 1000, 3000, 10_000)}
STEPS, LAST = 300, 20
"""Steps, and how many losses at the end are averaged."""
RATES = (0.1, 0.3, 1.0)
"""Divided by the number of layers: each moves the output."""
STARTS = {
    "orthogonal, critical": ("orthogonal", None),
    "Gaussian, critical": ("lecun", None),
    "Gaussian, keeps the variance": ("lecun", 1.0),
}
"""Law and gain on top of tanh's own; None for weights of variance 1 / width, which is critical for small signals."""


def run(effort: Effort, train: Train) -> Answer:  # noqa: ARG001 - deeper than a grid's networks are meant to be
    """Share of the loss that is gone after training at the best rate, for each start and depth."""
    rows = [(depth, *(_gone(depth, *start) for start in STARTS.values())) for depth in DEPTHS[effort]]
    head = ("hidden layers", *STARTS)
    settings = {"width": WIDTH, "steps": STEPS, "rates": list(RATES), "batch": BATCH, "task": "clusters"}
    facts: dict[str, Any] = {"depth": rows[-1][0], **dict(zip(STARTS, rows[-1][1:], strict=True))}
    series = {name: [(float(row[0]), row[place]) for row in rows] for place, name in enumerate(STARTS, 1)}
    figure = lines(f"Share of the loss gone after {STEPS} steps", "hidden layers", "share", series, is_log_x=True)
    return Answer("very-deep", effort, settings, {"gone": Table(head, tuple(rows))}, facts, {"gone": figure})


def _gone(depth: int, law: str, gain: float | None) -> float:
    """1 - loss at the end / loss at the start, of the best rate; not below 0."""
    made, samples = program.mlp(20, [WIDTH] * depth, 5, "tanh"), tasks.get("clusters")
    factor = 1 / activation_gain("tanh") if gain is None else gain
    start = starts.start(made, weights=law, gain=factor, biases="zero", bias_scale=0.0, seed=SEED)
    lrs = torch.tensor(RATES) / depth
    own = fleet.Fleet(made, start.repeat(len(lrs), 1), lrs, Update("momentum"))
    order = torch.randint(0, len(samples.inputs), (STEPS, BATCH), generator=generator_for(SEED, "very-deep"))
    losses = own.train_(samples, STEPS, order.expand(len(lrs), -1, -1)).double()
    gone = 1 - losses[:, -LAST:].mean(1) / losses[:, :1].mean(1)
    return max(0.0, float(gone.nan_to_num(0.0).amax()))


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    critical, gaussian = (f"{facts[name]:.0%}" for name in list(STARTS)[:2])
    return paragraphs(
        "# A plain network of thousands of layers",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/very-deep.json; do not edit. -->",
        "Without skip connections and norms a deep network learns only if signals neither fade nor grow (criticality) "
        "and if *no direction* does (isometry). Gaussian weights meet the first; their product over many layers still "
        "keeps few directions. Orthogonal weights meet both. Xiao and others (2018) trained convolutional networks of "
        "10,000 layers so, and Saxe, McClelland & Ganguli (2014) showed it for linear ones.",
        f"**Tried here, scaled down:** fully connected, tanh, width {settings['width']}, clusters in 20 dimensions, "
        f"{settings['steps']} steps with momentum 0.9 in batches of {settings['batch']}, the best of the rates "
        f"{', '.join(map(str, settings['rates']))} divided by the depth, one seed.",
        f"At {facts['depth']} hidden layers {critical} of the loss is gone from the critical orthogonal start, "
        f"{gaussian} from the critical Gaussian one.",
        "![Share of the loss gone](figures/very-deep-gone.svg)",
        answer.tables["gone"].markdown(),
    )


STUDY = Study("very-deep", "Thousands of layers: orthogonal against Gaussian weights", run, page)
