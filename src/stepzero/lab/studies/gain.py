"""How large should random weights be? Time to learn against the gain, and what saturates on the way."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from stepzero.lab.figure import lines
from stepzero.lab.grid import Grid
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs

ACTIVATIONS = ("tanh", "lecun_tanh", "relu")
GAINS = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.4, 2.0, 4.0, 8.0, 16.0)
DEPTH, WIDTH, RATE, BATCH, LEVEL = 4, 32, 0.1, 32, 0.1
STEPS = {"short": 640, "full": 2560}
SEEDS = {"short": 3, "full": 10}
POINTS = (10, 14, 20, 28, 40, 56, 80, 113, 160, 226, 320, 452, 640, 905, 1280, 1810, 2560)
"""Steps at which the loss is looked at: each about the root of two times the one before."""


def grid(effort: Effort) -> Grid:
    """One grid for all."""
    return Grid(
        tasks="clusters", depths=DEPTH, widths=WIDTH, activations=ACTIVATIONS, weights="lecun", gains=GAINS,
        lrs=RATE, batch=BATCH, seeds=SEEDS[effort], steps=STEPS[effort],
        measure=[step for step in POINTS if step <= STEPS[effort]], name="gain",
    )  # fmt: skip


def run(effort: Effort, train: Train) -> Answer:
    """Steps to the level, and saturation and gradient at the start, for each activation and gain."""
    result = train(grid(effort))
    networks, limit = result.networks(), STEPS[effort]
    times, starts = _times(result.points()), _starts(result.layers())
    rows = []
    for activation in ACTIVATIONS:
        for gain in GAINS:
            keys = [row["key"] for row in networks if (row["activation"], row["gain"]) == (activation, gain)]
            time = statistics.median(times.get(key, math.inf) for key in keys)
            saturated, ratio = (statistics.median(starts[key][place] for key in keys) for place in (0, 1))
            rows.append((activation, gain, None if math.isinf(time) else time, saturated, ratio))
    head = ("activation", "gain", f"steps to a loss of {LEVEL:g}", "saturated at step 0", "gradient to weight, layer 1")
    settings = {
        "task": "clusters", "depth": DEPTH, "width": WIDTH, "rate": RATE, "batch": BATCH, "level": LEVEL,
        "steps": limit, "seeds": SEEDS[effort], "networks": len(networks),
    }  # fmt: skip
    series = {name: [(row[1], row[2] or 2 * limit) for row in rows if row[0] == name] for name in ACTIVATIONS}
    figure = lines(
        f"Steps to a loss of {LEVEL:g} (at the top: not within {limit})", "gain", "steps", series,
        is_log_x=True, is_log_y=True,
    )  # fmt: skip
    return Answer("gain", effort, settings, {"gains": Table(head, tuple(rows))}, _facts(rows), {"steps": figure})


def _times(points: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """First observed step at which the loss is at the level, by network."""
    found: dict[str, int] = {}
    for row in points:
        if row["loss"] is not None and row["loss"] <= LEVEL:
            found[row["key"]] = min(row["step"], found.get(row["key"], row["step"]))
    return found


def _starts(layers: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Mean share of saturated units over hidden layers, and gradient to weight of the lowest, at step 0."""
    shares: dict[str, list[float]] = {}
    ratios: dict[str, float] = {}
    for row in layers:
        if row["step"] == 0 and row["layer"] != "head":
            shares.setdefault(row["key"], []).append(row["saturated"] or 0.0)
            if row["place"] == 0:
                ratios[row["key"]] = row["gradient"] / row["weight"]
    return {key: (statistics.fmean(each), ratios[key]) for key, each in shares.items()}


def _facts(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for activation in ACTIVATIONS:
        mine = {row[1]: row for row in rows if row[0] == activation}
        reached = {gain: row[2] for gain, row in mine.items() if row[2] is not None}
        best = min(reached, key=lambda gain: reached[gain])
        facts[activation] = {
            "best": best, "steps": reached[best], "at one": mine[1.0][2], "smallest": mine[GAINS[0]][2],
            "largest": mine[GAINS[-1]][2], "saturated small": mine[GAINS[0]][3], "saturated large": mine[GAINS[-1]][3],
        }  # fmt: skip
    return facts


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts

    def steps(value: float | None) -> str:
        return f"not within {settings['steps']}" if value is None else f"{value:g}"

    sentences = [
        f"* {name}: fastest at gain {each['best']:g} ({steps(each['steps'])} steps), "
        f"at gain 1 {steps(each['at one'])}, at gain {GAINS[0]:g} {steps(each['smallest'])}, "
        f"at gain {GAINS[-1]:g} {steps(each['largest'])}."
        for name, each in facts.items()
    ]
    return paragraphs(
        "# How large should random weights be?",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/gain.json; do not edit. -->",
        "Breaking the symmetry is half of a start; the other half is scale (LeCun, Bottou, Orr & Müller 1998, section "
        "4.6). A gain of 1 stands for the variance that keeps the signal: the activation's own gain over the fan-in. "
        "Smaller, and signal and gradient fade with each layer; larger, and bounded units saturate or the loss flies "
        "off.",
        f"**Tried here:** {settings['networks']} networks, {settings['depth']} hidden layers of {settings['width']}, "
        f"five clusters in 20 dimensions, gradient descent at rate {settings['rate']:g}, batches of "
        f"{settings['batch']}, {settings['seeds']} seeds, medians.",
        "\n".join(sentences),
        "![Steps to learn against gain](figures/gain-steps.svg)",
        answer.tables["gains"].markdown(),
        "The optimum is that of one learning rate, one task and one depth; only the shape is general.",
    )


STUDY = Study("gain", "Time to learn against the size of random weights", run, page)
