"""Thirty layers of ReLU: He's variance 2 / n trains, 1 / n stalls."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
CHANNELS, CONV_BATCH, CONV_LOOKS = 16, 16, 2
"""The convolutional version, on 8 x 8 pixels: a step of thirty layers takes as long as one of many dense networks."""
CONV_DEPTHS = {"short": (22, 30), "full": (10, 22, 30)}
CONV_RATES = {"short": (0.001,), "full": (0.001, 0.003)}
CONV_STEPS = {"short": 800, "full": 1200}
CONV_SEEDS = 3
HEAD = ("hidden layers", "variance", "rate", "learned", "loss", "accuracy", "gradient of layer 1 at step 0")


def grid(effort: Effort) -> Grid:
    """Depths and both variances."""
    steps = STEPS[effort]
    return Grid(
        tasks="digits", depths=DEPTHS, widths=WIDTH, activations="relu", optimizers="momentum", weights="he",
        gains=tuple(GAINS), lrs=RATES, batch=BATCH, seeds=SEEDS[effort], steps=steps,
        measure=[steps * look // LOOKS for look in range(1, LOOKS)], name="stall",
    )  # fmt: skip


def convolutions(effort: Effort) -> Grid:
    """The same with 3 x 3 convolutions, as in the paper."""
    steps = CONV_STEPS[effort]
    return replace(
        grid(effort), architectures="conv", depths=CONV_DEPTHS[effort], widths=CHANNELS, lrs=CONV_RATES[effort],
        batch=CONV_BATCH, seeds=CONV_SEEDS, steps=steps,
        measure=[steps * look // CONV_LOOKS for look in range(1, CONV_LOOKS)], name="stall-convolutions",
    )  # fmt: skip


def run(effort: Effort, train: Train) -> Answer:
    """Loss and accuracy at the better rate, and the gradient that arrives at the lowest layer at step 0."""
    dense = _found(grid(effort), train, "Loss over the steps", "")
    conv = _found(convolutions(effort), train, "Loss over the steps, convolutions", "convolutional ")
    settings = {
        "task": "digits", "width": WIDTH, "batch": BATCH, "rates": list(RATES), "steps": STEPS[effort],
        "seeds": SEEDS[effort], "learned": LEARNED, "networks": dense[3], "channels": CHANNELS,
        "convolutional batch": CONV_BATCH, "convolutional rates": list(CONV_RATES[effort]),
        "convolutional steps": CONV_STEPS[effort], "convolutional seeds": CONV_SEEDS,
        "convolutional networks": conv[3],
    }  # fmt: skip
    tables, figures = {"depths": dense[0], "convolutions": conv[0]}, {"losses": dense[2], "convolutions": conv[2]}
    return Answer("stall", effort, settings, tables, {**dense[1], **conv[1]}, figures)


def _found(wanted: Grid, train: Train, title: str, kind: str) -> tuple[Table, dict[str, Any], Figure, int]:
    """Table, facts under names that begin with ``kind``, figure and number of networks."""
    result, depths, rates = train(wanted), tuple(wanted.to_mapping()["depths"]), tuple(wanted.to_mapping()["lrs"])
    networks, points = result.networks(), result.points()
    gradients = {row["key"]: row["gradient"] for row in result.layers() if row["step"] == 0 and row["place"] == 0}
    rows = [_row(networks, gradients, depth, gain, rates) for depth in depths for gain in GAINS]
    facts: dict[str, Any] = {
        f"{kind}{row[1].split()[3].strip('()')} {row[0]}": dict(zip(HEAD[2:], row[2:], strict=True)) for row in rows
    }
    for depth in depths:
        he, xavier = (facts[f"{kind}{name} {depth}"][HEAD[-1]] for name in ("He", "Xavier"))
        facts[f"{kind}ratio {depth}"] = xavier / he
    return Table(HEAD, tuple(rows)), facts, _losses(title, networks, points, rows), len(networks)


def _row(
    networks: Sequence[Mapping[str, Any]], gradients: Mapping[str, float], depth: int, gain: float,
    rates: Sequence[float],
) -> tuple[Any, ...]:  # fmt: skip
    """Medians over the seeds at the rate with the smaller median loss."""
    by_rate = {
        rate: [row for row in networks if (row["depth"], row["gain"], row["lr"]) == (depth, gain, rate)]
        for rate in rates
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
    title: str, networks: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]],
    rows: Sequence[tuple[Any, ...]],
) -> Figure:  # fmt: skip
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
    return lines(title, "step", "loss", series)


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts

    def fate(start: str) -> str:
        return f"a loss of {facts[start]['loss']:.2f} and an accuracy of {facts[start]['accuracy']:.0%}"

    def fates(depth: int, kind: str = "") -> str:
        return f"* {depth} layers: {fate(f'{kind}He {depth}')} from 2 / n, {fate(f'{kind}Xavier {depth}')} from 1 / n"

    return paragraphs(
        "# Why do thirty layers of ReLU stall?",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/stall.json; do not edit. -->",
        "A ReLU takes half of the mean square away, so weights of variance 1 / n halve the power of the signal and of "
        "the gradient in each layer, and weights of variance 2 / n keep both. He, Zhang, Ren & Sun (2015, section 2.2) "
        "report that convolutional networks of 22 layers train from either start, from theirs sooner (figure 2), and "
        "that at 30 layers only theirs trains while the other one's error does not move (figure 3).",
        f"**Tried here, scaled down** (theirs: convolutions on ImageNet): fully connected, {settings['width']} units a "
        f"layer, no norms, digits of 8 x 8 pixels, {settings['steps']} steps with momentum 0.9 in batches of "
        f"{settings['batch']}, the better of the rates {' and '.join(map(str, settings['rates']))}, "
        f"{settings['seeds']} seeds, medians; {settings['networks']} networks in all. The head has the same variance "
        "as the layers.",
        f"{fates(22)}.\n{fates(30)} (chance: a loss of 2.30).",
        "The gradient that arrives at the lowest layer is smaller from 1 / n by a factor of about 2^(-L/2), L hidden "
        f"layers: measured {facts['ratio 22']:.1e} at 22 layers (law {2**-11:.1e}) and {facts['ratio 30']:.1e} at 30 "
        f"(law {2**-15:.1e}).",
        "![Loss over the steps](figures/stall-losses.svg)",
        answer.tables["depths"].markdown(),
        *_convolutions(answer, fates),
        f"Learned: an accuracy of {settings['learned']:.0%} or more.",
    )


def _convolutions(answer: Answer, fates: Callable[[int, str], str]) -> list[str]:
    """The part of the page on convolutions."""
    settings, facts, kind = answer.settings, answer.facts, "convolutional "
    rates = settings[f"{kind}rates"]
    rate = f"the better of the rates {' and '.join(map(str, rates))}" if len(rates) > 1 else f"a rate of {rates[0]}"
    depths = sorted({row[0] for row in answer.tables["convolutions"].rows})
    intro = (
        f"Nearer to theirs, and still far smaller: 3 x 3 convolutions with {settings['channels']} channels at every "
        "layer, stride 1 and zeros around, on the same 8 x 8 pixels, then the mean over all places and the head "
        "(theirs: ImageNet, hundreds of channels, pooling between the layers, 1,000 classes). "
        f"{settings[f'{kind}steps']} steps in batches of {settings[f'{kind}batch']}, {rate}, "
        f"{settings[f'{kind}seeds']} seeds, medians; {settings[f'{kind}networks']} networks."
    )
    ratios = (
        f"The gradient at the lowest layer is smaller from 1 / n by a factor of {facts[f'{kind}ratio 22']:.1e} at 22 "
        f"layers and {facts[f'{kind}ratio 30']:.1e} at 30, as in dense layers. 1 / n comes to a halt at fewer layers "
        "here than in the paper. The zeros around take signal away from both starts in each layer, and more of it the "
        "fewer pixels there are; that may be why."
    )
    return [
        "## With convolutions",
        intro,
        "\n".join(f"{fates(depth, kind)}." for depth in depths),
        ratios,
        "![Loss over the steps, convolutions](figures/stall-convolutions.svg)",
        answer.tables["convolutions"].markdown(),
    ]


STUDY = Study("stall", "Thirty layers of ReLU: variance 2 / n against 1 / n", run, page)
