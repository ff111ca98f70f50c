"""How deep can a plain tanh network be? The deepest that learns, against six correlation lengths."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from stepzero.lab.figure import lines
from stepzero.lab.grid import Grid
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs, rank_correlation
from stepzero.measure.gain import activation_gain

BIAS_VARIANCE = 0.05
VARIANCES = {"short": (0.5, 1.0, 1.3, 1.76, 2.5, 4.0), "full": (0.5, 0.75, 1.0, 1.3, 1.5, 1.76, 2.0, 2.5, 3.0, 4.0)}
DEPTHS = {"short": (5, 10, 20, 40, 80), "full": (5, 10, 14, 20, 28, 40, 56, 80, 113, 160)}
STEPS = {"short": 200, "full": 400}
SEEDS = {"short": 2, "full": 4}
WIDTH, BATCH, RATES, LEARNED = 32, 32, (0.01, 0.05), 0.8
LENGTHS = 6
"""A plain network is said to be trainable up to so many correlation lengths (Schoenholz et al. 2017)."""


def correlation_length(variance: float, bias: float = BIAS_VARIANCE) -> float:
    """Layers over which the correlation of two tanh networks' inputs comes nearer to its fixed point by a factor e."""
    z = torch.linspace(-8, 8, 129, dtype=torch.float64)  # the trapezoid rule converges fast here
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    both = density[:, None] * density
    q = 1.0
    for _ in range(300):
        q = variance * float((density * torch.tanh(math.sqrt(q) * z).square()).sum()) + bias
    c, one = 0.5, math.sqrt(q) * z[:, None]
    for _ in range(1000):
        other = math.sqrt(q) * (c * z[:, None] + math.sqrt(max(0.0, 1 - c * c)) * z)
        before, c = c, (variance * float((both * torch.tanh(one) * torch.tanh(other)).sum()) + bias) / q
        if abs(c - before) < 1e-12:
            break
    other = math.sqrt(q) * (c * z[:, None] + math.sqrt(max(0.0, 1 - c * c)) * z)
    slope = variance * float((both * (1 - torch.tanh(one).square()) * (1 - torch.tanh(other).square())).sum())
    return -1 / math.log(slope)


def grid(effort: Effort) -> Grid:
    """A square of variances and depths."""
    own = activation_gain("tanh")
    return Grid(
        tasks="clusters", depths=DEPTHS[effort], widths=WIDTH, weights="lecun",
        gains=[math.sqrt(variance) / own for variance in VARIANCES[effort]], biases="random",
        bias_scales=math.sqrt(BIAS_VARIANCE), lrs=RATES, batch=BATCH, seeds=SEEDS[effort], steps=STEPS[effort],
        name="trainable-depth",
    )  # fmt: skip


def run(effort: Effort, train: Train) -> Answer:
    """The deepest depth at which the better learning rate teaches half of the seeds, for each variance."""
    networks = train(grid(effort)).networks()
    gains = sorted({row["gain"] for row in networks})
    rows = []
    for variance, gain in zip(VARIANCES[effort], gains, strict=True):
        mine = [row for row in networks if row["gain"] == gain]
        shares = {depth: _share(mine, depth) for depth in DEPTHS[effort]}
        deepest = max((depth for depth, share in shares.items() if share >= 0.5), default=0)
        length = correlation_length(variance)
        rows.append((variance, length, LENGTHS * length, deepest))
    head = ("variance of weights times width", "correlation length", f"{LENGTHS} lengths", "deepest that learned")
    settings = {
        "task": "clusters", "width": WIDTH, "steps": STEPS[effort], "seeds": SEEDS[effort], "rates": list(RATES),
        "depths": list(DEPTHS[effort]), "learned": LEARNED, "bias": BIAS_VARIANCE, "networks": len(networks),
    }  # fmt: skip
    facts = {"rank correlation": rank_correlation([row[1] for row in rows], [row[3] for row in rows]),
             "peak": max(rows, key=lambda row: row[3])[0]}  # fmt: skip
    series = {
        name: [(float(row[0]), float(row[place])) for row in rows]
        for name, place in (("deepest", 3), (f"{LENGTHS} lengths", 2))
    }
    title = "Deepest tanh network that learns, and the theory's line"
    figure = lines(title, "variance of weights times width", "hidden layers", series, is_log_y=True)
    return Answer("trainable-depth", effort, settings, {"depths": Table(head, tuple(rows))}, facts, {"depths": figure})


def _share(networks: Sequence[Mapping[str, Any]], depth: int) -> float:
    """Share of seeds that learn at the better rate."""
    return max(
        statistics.fmean(
            (row["accuracy"] or 0) >= LEARNED for row in networks if row["depth"] == depth and row["lr"] == rate
        )
        for rate in RATES
    )


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    return paragraphs(
        "# How deep can a plain network be?",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/trainable-depth.json; do not edit. -->",
        "Theory of wide networks (Schoenholz, Gilmer, Ganguli & Sohl-Dickstein 2017) says that signals forget their "
        "differences over a correlation length, which grows without bound at the edge of chaos, and that a network "
        f"trains up to about {LENGTHS} such lengths.",
        f"**Tried here, scaled down:** tanh, width {settings['width']}, bias variance {settings['bias']:g}, clusters "
        f"in 20 dimensions, depths {', '.join(map(str, settings['depths']))}, {settings['steps']} steps of gradient "
        f"descent at the better of the rates {' and '.join(map(str, settings['rates']))}, {settings['seeds']} seeds, "
        f"{settings['networks']} networks in all; learned means an accuracy of {settings['learned']:.0%} for half "
        "of the seeds.",
        f"The deepest network that learns follows the line: rank correlation {facts['rank correlation']:.2f}, peak "
        f"at a variance of {facts['peak']:g} (theory: 1.76).",
        "![Deepest that learns](figures/trainable-depth-depths.svg)",
        answer.tables["depths"].markdown(),
        f"The largest depth tried, {max(settings['depths'])}, caps the column.",
    )


STUDY = Study("trainable-depth", "The deepest tanh network that learns, against theory", run, page)
