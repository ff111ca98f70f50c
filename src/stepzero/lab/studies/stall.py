"""Thirty layers of ReLU: He's variance 2 / n trains, 1 / n stalls."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from stepzero.lab.figure import Figure, lines
from stepzero.lab.grid import Grid
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs

DEPTHS = (10, 22, 30, 40)
"""22 and 30 are those of the paper."""
GAINS = {1.0: "2 / n (He)", 0.5**0.5: "1 / n (Xavier)"}
WIDTH, BATCH, RATES, LEARNED = 64, 32, (0.003, 0.01), 0.5
STEPS = {"short": 600, "full": 1000}
SEEDS = {"short": 3, "full": 6}
LOOKS = 10
"""How often the loss is looked at."""


def grid(effort: Effort) -> Grid:
    """Depths and both variances."""
    steps = STEPS[effort]
    return Grid(
        tasks="digits", depths=DEPTHS, widths=WIDTH, activations="relu", optimizers="momentum", weights="he",
        gains=tuple(GAINS), lrs=RATES, batch=BATCH, seeds=SEEDS[effort], steps=steps,
        measure=[steps * look // LOOKS for look in range(1, LOOKS)], name="stall",
    )  # fmt: skip


def run(effort: Effort, train: Train) -> Answer:
    """Loss and accuracy at the better rate, and the gradient that arrives at the lowest layer at step 0."""
    result = train(grid(effort))
    networks, points = result.networks(), result.points()
    gradients = {row["key"]: row["gradient"] for row in result.layers() if row["step"] == 0 and row["place"] == 0}
    rows = [_row(networks, gradients, depth, gain) for depth in DEPTHS for gain in GAINS]
    head = ("hidden layers", "variance", "rate", "learned", "loss", "accuracy", "gradient of layer 1 at step 0")
    settings = {
        "task": "digits", "width": WIDTH, "batch": BATCH, "rates": list(RATES), "steps": STEPS[effort],
        "seeds": SEEDS[effort], "learned": LEARNED, "networks": len(networks),
    }  # fmt: skip
    facts = {f"{row[1].split()[3].strip('()')} {row[0]}": dict(zip(head[2:], row[2:], strict=True)) for row in rows}
    for depth in DEPTHS:
        he, xavier = (facts[f"{name} {depth}"][head[-1]] for name in ("He", "Xavier"))
        facts[f"ratio {depth}"] = xavier / he
    figures = {"losses": _losses(networks, points, rows)}
    return Answer("stall", effort, settings, {"depths": Table(head, tuple(rows))}, facts, figures)


def _row(
    networks: Sequence[Mapping[str, Any]], gradients: Mapping[str, float], depth: int, gain: float
) -> tuple[Any, ...]:
    """Medians over the seeds at the rate with the smaller median loss."""
    by_rate = {
        rate: [row for row in networks if (row["depth"], row["gain"], row["lr"]) == (depth, gain, rate)]
        for rate in RATES
    }
    rate, mine = min(by_rate.items(), key=lambda item: _median(item[1], "loss"))
    learned = sum((row["accuracy"] or 0) >= LEARNED for row in mine)
    gradient = statistics.median(gradients[row["key"]] for row in mine)
    return (
        depth, GAINS[gain], rate, f"{learned}/{len(mine)}", _median(mine, "loss"), _median(mine, "accuracy"), gradient,
    )  # fmt: skip


def _median(rows: Sequence[Mapping[str, Any]], what: str) -> float:
    return statistics.median(float("inf") if row[what] is None else row[what] for row in rows)


def _losses(
    networks: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]], rows: Sequence[tuple[Any, ...]]
) -> Figure:
    """Median loss over the steps at 22 and 30 layers, each at its better rate."""
    series = {}
    for depth, word, rate, *_ in rows:
        if depth in (22, 30):
            keys = {
                row["key"] for row in networks if (row["depth"], GAINS[row["gain"]], row["lr"]) == (depth, word, rate)
            }
            steps: dict[int, list[float]] = {}
            for point in points:
                if point["key"] in keys and point["loss"] is not None:
                    steps.setdefault(point["step"], []).append(point["loss"])
            series[f"{depth} layers, {word}"] = [
                (step, statistics.median(each)) for step, each in sorted(steps.items())
            ]
    return lines("Loss over the steps", "step", "loss", series)


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    deep = facts["He 30"], facts["Xavier 30"]
    shallow = facts["He 22"], facts["Xavier 22"]

    def fate(found: Mapping[str, Any]) -> str:
        return f"a loss of {found['loss']:.2f} and an accuracy of {found['accuracy']:.0%}"

    return paragraphs(
        "# Why do thirty layers of ReLU stall?",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/stall.json; do not edit. -->",
        "A ReLU takes half of the mean square away, so weights of variance 1 / n halve the power of the signal and of "
        "the gradient in each layer, and weights of variance 2 / n keep both. He, Zhang, Ren & Sun (2015, section 2.2) "
        "report that convolutional networks of 22 layers train from either start, from theirs sooner, and that at 30 "
        "layers only theirs trains while the other one's error does not move.",
        f"**Tried here, scaled down** (theirs: convolutions on ImageNet): fully connected, {settings['width']} units a "
        f"layer, no norms, digits of 8 x 8 pixels, {settings['steps']} steps with momentum 0.9 in batches of "
        f"{settings['batch']}, the better of the rates {' and '.join(map(str, settings['rates']))}, "
        f"{settings['seeds']} seeds, medians; {settings['networks']} networks in all. The head has the same variance "
        "as the layers.",
        f"* 22 layers: {fate(shallow[0])} from 2 / n, {fate(shallow[1])} from 1 / n.\n"
        f"* 30 layers: {fate(deep[0])} from 2 / n, {fate(deep[1])} from 1 / n (chance: a loss of 2.30).",
        "The gradient that arrives at the lowest layer is smaller from 1 / n by a factor of about 2^(-L/2), L hidden "
        f"layers: measured {facts['ratio 22']:.1e} at 22 layers (law {2**-11:.1e}) and {facts['ratio 30']:.1e} at 30 "
        f"(law {2**-15:.1e}).",
        "![Loss over the steps](figures/stall-losses.svg)",
        answer.tables["depths"].markdown(),
        f"Learned: an accuracy of {settings['learned']:.0%} or more.",
    )


STUDY = Study("stall", "Thirty layers of ReLU: variance 2 / n against 1 / n", run, page)
