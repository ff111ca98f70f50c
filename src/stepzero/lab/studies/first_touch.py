"""Zero weights, random biases: when, and how hard, is the lowest layer first touched?

The law: with L weight layers the first gradient of layer 1 comes at step L - 1 and has size rate^(2^(L-1) - 1) under
gradient descent, rate^(L-1) under Adam.
"""

import math
from typing import Any

import torch
from torch import Tensor

from stepzero.lab import fleet, program, starts, tasks
from stepzero.lab.figure import Figure, lines
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs
from stepzero.lab.task import Samples
from stepzero.lab.update import Update
from stepzero.measure import first_touch as law
from stepzero.schemes.seeding import generator_for

WIDTH, BATCH, RATES = 16, 32, (1e-3, 3e-3)
LAYERS = {"short": (2, 3, 4, 5), "full": (2, 3, 4, 5, 6)}
SEEDS = {"short": 3, "full": 10}
UPDATES = {"sgd": Update("sgd"), "adam": Update("adam", eps=1e-300)}
"""Adam with an eps that no gradient here falls below: the law is that of its ratio."""
_PATIENCE = 12
"""Steps waited for a first gradient."""


def touched(layers: int, update: Update, rate: float, seed: int, dtype: torch.dtype) -> tuple[int | None, float]:
    """Step (from 0) of the first non-zero gradient of the lowest weight, and its norm; (None, 0) when none came."""
    samples = _samples(dtype)
    made = program.mlp(samples.inputs.shape[1], [WIDTH] * (layers - 1), 5, "tanh")
    start = starts.start(made, weights="zero", gain=0.0, biases="random", bias_scale=0.5, seed=seed, dtype=dtype)
    own = fleet.Fleet(made, start[None], torch.tensor([rate], dtype=dtype), update)
    order = _order(len(samples.inputs), seed)
    for step in range(_PATIENCE):
        size = _gradient(own, samples, order[step])
        if size > 0:
            return step, size
        own.train_(samples, 1, order[None, step : step + 1])
    return None, 0.0


def _samples(dtype: torch.dtype) -> Samples:
    found = tasks.get("clusters")
    return Samples(found.inputs.to(dtype), found.targets)


def _order(count: int, seed: int) -> Tensor:
    """[steps, batch]: balanced by chance only, so that the head's bias does not stand at the optimum."""
    return torch.randint(0, count, (_PATIENCE, BATCH), generator=generator_for(seed, "first-touch"))


def _gradient(own: fleet.Fleet, samples: Samples, chosen: Tensor) -> float:
    """Norm of the lowest weight's gradient on the step's own batch."""
    batch = Samples(samples.inputs[chosen].contiguous(), samples.targets[chosen].contiguous())
    *_, gradients = fleet.observe(own.program, own.weights, batch)
    return float(own.layer(gradients, 0)[0].double().norm())


def run(effort: Effort, train: Train) -> Answer:  # noqa: ARG001 - a handful of steps each: nothing to store
    """Measure step and exponent for each number of layers, in float64 and in float32."""
    rows = [_row(name, update, layers, SEEDS[effort]) for name, update in UPDATES.items() for layers in LAYERS[effort]]
    head = (
        "optimizer", "weight layers", "step by the law", "step", "exponent by the law", "exponent",
        f"gradient at rate {RATES[0]:g}", "step in float32",
    )  # fmt: skip
    settings = {
        "task": "clusters", "width": WIDTH, "batch": BATCH, "rates": list(RATES), "seeds": SEEDS[effort],
        "activation": "tanh", "patience": _PATIENCE,
    }  # fmt: skip
    facts = {f"{row[0]} {row[1]}": dict(zip(head[2:], row[2:], strict=True)) for row in rows}
    return Answer("first-touch", effort, settings, {"law": Table(head, tuple(rows))}, facts, _figures(rows))


def _row(name: str, update: Update, layers: int, seeds: int) -> tuple[Any, ...]:
    found = [[touched(layers, update, rate, seed, torch.float64) for rate in RATES] for seed in range(seeds)]
    steps = {step for pair in found for step, _ in pair}
    exponents = [math.log(high / low) / math.log(RATES[1] / RATES[0]) for (_, low), (_, high) in found]
    power = math.log(law.size(RATES[0], layers - 1, is_adaptive=update.is_adaptive)[0]) / math.log(RATES[0])
    single = touched(layers, Update(update.name), RATES[0], 0, torch.float32)[0]
    return (
        name, layers, layers - 1, ", ".join(str(step) for step in sorted(steps, key=str)), round(power),
        sum(exponents) / len(exponents), found[0][0][1], "none in time" if single is None else single,
    )  # fmt: skip


def _figures(rows: list[tuple[Any, ...]]) -> dict[str, Figure]:
    series = {
        f"{name}{what}": [(row[1], row[place]) for row in rows if row[0] == name]
        for name in UPDATES
        for what, place in ((", measured", 5), (", law", 4))
    }
    title = "Exponent of the learning rate in the first gradient of layer 1"
    return {"exponents": lines(title, "weight layers", "exponent", series, is_log_y=True)}


def page(answer: Answer) -> str:
    """The page."""
    settings, table = answer.settings, answer.tables["law"]
    late = [row for row in table.rows if row[7] != row[2]]
    words = ", ".join(f"{row[0]} with {row[1]} weight layers ({row[7]} instead of {row[2]})" for row in late)
    return paragraphs(
        "# Zero weights, random biases: when does the lowest layer wake?",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/first-touch.json; do not edit. -->",
        "With all weights zero only the head has a gradient at step 0. Each step wakes one layer more, so with L "
        "weight layers the lowest is first touched at step L - 1 (counted from 0). Each wake-up starts from the "
        "product of all that woke above, hence the size: rate^(2^(L-1) - 1) under gradient descent. Adam moves every "
        "layer by the rate at its first touch, however small the gradient is, hence rate^(L-1).",
        f"**Tried here:** tanh, {settings['width']} units a layer, five Gaussian clusters in 20 dimensions, batches "
        f"of {settings['batch']}, {settings['seeds']} seeds, float64. The exponent is the slope of the "
        f"logarithm of the gradient between the rates {settings['rates'][0]:g} and {settings['rates'][1]:g}.",
        table.markdown(),
        "![Exponents by number of layers](figures/first-touch-exponents.svg)",
        "In float32, and with Adam's own eps of 1e-8, the law meets the smallest number that can be written (1.4e-45): "
        + (f"{words}." if late else "no case here.")
        + " Such a layer is blocked, not merely late.",
    )


STUDY = Study("first-touch", "Zero weights, random biases: the first gradient of the lowest layer", run, page)
