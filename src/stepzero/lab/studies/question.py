"""Why may biases start at zero and weights not, and why not the other way round?

Weights and biases are each zero, constant or random, in networks of one to six hidden layers, trained in earnest.
"""

import statistics
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from stepzero.lab.grid import Grid
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs
from stepzero.lab.summary import LEARNED

WIDTH, CONSTANT, DEVIATION = 16, 0.5, 0.5
RATES = {"sgd": 0.5, "adam": 0.01}
STEPS = {"short": 800, "full": 3000}
SEEDS = {"short": 5, "full": 20}
DEPTHS = (1, 2, 3, 4, 5, 6)
ACTIVATIONS = ("tanh", "relu", "sigmoid")
LAWS = {"zero": "zero", "constant": "constant", "lecun": "random"}
"""Law of the weights -> the word for it. Random ones have the variance that keeps the signal."""
BIASES = ("zero", "constant", "random")


def grids(effort: Effort) -> list[Grid]:
    """One grid for each optimizer (each has a rate of its own) and kind of weights (constants have a size)."""
    return [
        Grid(
            tasks="xor", depths=DEPTHS, widths=WIDTH, activations=ACTIVATIONS, optimizers=optimizer, lrs=rate,
            weights=law, gains=CONSTANT if law == "constant" else 1.0, biases=BIASES, bias_scales=DEVIATION,
            seeds=SEEDS[effort], steps=STEPS[effort], name="question",
        )
        for optimizer, rate in RATES.items()
        for law in LAWS
    ]  # fmt: skip


def run(effort: Effort, train: Train) -> Answer:
    """Train all of it and count who learned."""
    results = [train(grid) for grid in grids(effort)]
    networks = [row for result in results for row in result.networks()]
    widths = _widths(row for result in results for row in result.layers())
    cells = _cells(networks, widths)
    tables = {
        f"{optimizer} {activation}": _table(cells, optimizer, activation)
        for optimizer in RATES
        for activation in ACTIVATIONS
    }
    settings = {
        "task": "xor", "width": WIDTH, "rates": RATES, "steps": STEPS[effort], "seeds": SEEDS[effort],
        "constant": CONSTANT, "deviation": DEVIATION, "learned": LEARNED, "networks": len(networks),
    }  # fmt: skip
    return Answer("question", effort, settings, tables, _facts(cells))


def _widths(layers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Smallest effective width of a hidden layer at the last observed step, by network."""
    last: dict[str, tuple[int, int]] = {}
    for row in layers:
        if row["layer"] != "head":
            step, width = last.get(row["key"], (-1, 0))
            if row["step"] > step:
                step, width = row["step"], row["effective_width"]
            last[row["key"]] = step, min(width, row["effective_width"])
    return {key: width for key, (_, width) in last.items()}


Cells = dict[tuple[str, str, int, str, str], dict[str, Any]]


def _cells(networks: Iterable[Mapping[str, Any]], widths: Mapping[str, int]) -> Cells:
    groups: dict[tuple[str, str, int, str, str], list[Mapping[str, Any]]] = {}
    for row in networks:
        place = row["optimizer"], row["activation"], row["depth"], LAWS[row["weights"]], row["biases"]
        groups.setdefault(place, []).append(row)
    return {
        place: {
            "n": len(rows),
            "learned": sum((row["accuracy"] or 0) >= LEARNED for row in rows),
            "accuracy": statistics.median(row["accuracy"] or 0 for row in rows),
            "width": statistics.median_low(widths[row["key"]] for row in rows),
        }
        for place, rows in groups.items()
    }


def _table(cells: Cells, optimizer: str, activation: str) -> Table:
    """Learned of n by depth, and the effective width of the narrowest hidden layer at depth 1 and at the deepest."""
    rows = []
    for law in LAWS.values():
        for biases in BIASES:
            found = [cells[optimizer, activation, depth, law, biases] for depth in DEPTHS]
            counts = [f"{each['learned']}/{each['n']}" for each in found]
            rows.append((law, biases, *counts, found[0]["width"], found[-1]["width"]))
    head = (
        "weights",
        "biases",
        *(f"depth {depth}" for depth in DEPTHS),
        "width, depth 1",
        f"width, depth {DEPTHS[-1]}",
    )
    return Table(head, tuple(rows))


def _facts(cells: Cells) -> dict[str, Any]:
    """Shares of learned networks that the text quotes."""
    facts: dict[str, Any] = {}
    for law in LAWS.values():
        for biases in BIASES:
            for activation in ACTIVATIONS:
                for optimizer in RATES:
                    name = f"{law}/{biases} {activation} {optimizer}"
                    found = [cells[optimizer, activation, depth, law, biases] for depth in DEPTHS]
                    facts[name] = [each["learned"] / each["n"] for each in found]
                    facts[f"{name} width"] = [each["width"] for each in found]
    return facts


def page(answer: Answer) -> str:
    """The page."""
    settings, share = answer.settings, partial(_share, answer.facts)
    return paragraphs(
        "# Why may biases start at zero and weights not? And why not the opposite?",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/question.json; do not edit. -->",
        f"**Tried here:** {settings['networks']} networks of {settings['width']} units a layer on the XOR of "
        f"quadrants (128 points, all of them in each step), {settings['steps']} steps, {settings['seeds']} seeds where "
        f"anything is random; constants {settings['constant']}, random biases N(0, "
        f"{settings['deviation']}²), random weights with the variance that keeps the signal, gradient descent at rate "
        f"{settings['rates']['sgd']} and Adam at {settings['rates']['adam']}. A network has learned when its accuracy "
        f"is at least {settings['learned']:.0%}.",
        _copies(answer),
        _opposite(answer),
        "## Who learned",
        "Cells: networks that learned, of those trained. Width: units of the narrowest hidden layer that can be told "
        "apart after training (median).",
        *(f"### {name}\n\n{table.markdown()}" for name, table in answer.tables.items()),
        "## Limits",
        "One task, one width, one learning rate for each optimizer. Where random weights with zero biases fail as "
        "well, a failure says nothing about zeros; of the sigmoid networks with that start "
        f"{share('random', 'zero', 'sigmoid', 'sgd', 6)} learn at depth 6 under gradient descent and "
        f"{share('random', 'zero', 'sigmoid', 'adam', 6)} under Adam. Two units count as one when they agree to a "
        "millionth of the layer's largest.",
    )


def _copies(answer: Answer) -> str:
    settings, facts, share = answer.settings, answer.facts, partial(_share, answer.facts)
    return paragraphs(
        "## What must differ is the unit, and one difference is enough",
        "A unit is its row of weights, its bias and its column in the layer above. Units of one layer for which all "
        "three are equal respond alike, receive equal gradients, and stay copies of one another at every step. Random "
        "weights make every row different, so the biases may all be zero: with tanh and gradient descent "
        f"{share('random', 'zero', 'tanh', 'sgd', 1)} of the networks with random weights and zero biases learn at "
        f"depth 1 and {share('random', 'zero', 'tanh', 'sgd', 3)} at depth 3. Biases separate by themselves at the "
        "first step, because the gradients that arrive at different units differ.",
        "## Equal weights and equal biases: one unit a layer, for ever",
        "With constant weights and zero biases the narrowest hidden layer has an effective width of "
        f"{facts['constant/zero tanh sgd width'][0]} out of {settings['width']} units after training (tanh, depth 1), "
        f"and {share('constant', 'zero', 'tanh', 'adam', 1)} of these networks learn under Adam. A row without "
        "randomness is one network, so its n is 1.",
    )


def _opposite(answer: Answer) -> str:
    settings, facts, deepest = answer.settings, answer.facts, partial(_deepest, answer.facts)
    return paragraphs(
        "## The opposite: zero weights, random biases",
        "Distinct biases do break the symmetry: with tanh the effective width is "
        f"{facts['zero/random tanh sgd width'][0]} of {settings['width']} at depth 1. What fails is the scale. Layers "
        "wake from the top, one a step, and the first gradient of the lowest layer is a power of the learning rate "
        "that doubles with each layer under gradient descent (see [first touch](first-touch.md)). Most of the networks "
        f"learn {deepest('zero', 'random', 'tanh', 'sgd')} with tanh and gradient descent, "
        f"{deepest('zero', 'random', 'tanh', 'adam')} with tanh and Adam, "
        f"{deepest('zero', 'random', 'relu', 'sgd')} with ReLU and gradient descent and "
        f"{deepest('zero', 'random', 'relu', 'adam')} with ReLU and Adam. A ReLU unit with zero weights and a bias "
        "that is not positive is dead from the start.",
    )


def _share(facts: Mapping[str, Any], law: str, biases: str, activation: str, optimizer: str, depth: int) -> str:
    """Of the networks with this start, how many learned."""
    return f"{100 * facts[f'{law}/{biases} {activation} {optimizer}'][depth - 1]:.0f} %"


def _deepest(facts: Mapping[str, Any], law: str, biases: str, activation: str, optimizer: str) -> str:
    """Depths at which at least half of them learned, in words."""
    shares = facts[f"{law}/{biases} {activation} {optimizer}"]
    done = [depth for depth, part in zip(DEPTHS, shares, strict=True) if part >= 0.5]
    return f"at depth {', '.join(map(str, done))}" if done else "at no depth"


STUDY = Study("question", "Weights and biases: zero, constant or random", run, page)
