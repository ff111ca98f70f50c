"""Glorot & Bengio 2010 again: variance of activations and gradients by layer, and what it is worth in training."""

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from stepzero.lab import fleet, program, shapes
from stepzero.lab.figure import Figure, lines
from stepzero.lab.program import Program
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs
from stepzero.lab.task import Samples
from stepzero.lab.update import Update
from stepzero.schemes.seeding import generator_for
from stepzero.schemes.variance import glorot_, torch_default_

DEPTH, BATCH, TEST, CLASSES = 5, 16, 1000, len(shapes.CLASSES)
WIDTHS = {"short": 64, "full": 64}
TRAIN = {"short": 16_000, "full": 40_000}
STEPS = {"short": 4000, "full": 12_000}
SEEDS = {"short": 2, "full": 3}
RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
LAWS: dict[str, Callable[..., Tensor]] = {
    "standard": torch_default_,
    "normalised": functools.partial(glorot_, distribution="uniform"),
}
"""U(±1/√n), and U(±√6/√(n + m)): n inputs, m units."""
STARTS = (
    ("tanh", "standard"), ("tanh", "normalised"), ("softsign", "standard"), ("softsign", "normalised"),
    ("sigmoid", "standard"),
)  # fmt: skip
PAPER = {
    "tanh standard": 27.15, "tanh normalised": 15.60, "softsign standard": 16.27, "softsign normalised": 16.06,
    "sigmoid standard": 82.61,
}  # fmt: skip
"""Test error in percent on Shapeset-3x2, table 1 of the paper; sigmoid there with four hidden layers."""
PLACES = ("activations", "gradients, going back", "gradients of the weights")
Variances: TypeAlias = Mapping[str, Sequence[float]]


@functools.cache
def pictures(count: int, stream: str) -> Samples:
    """Drawn shapes, standardised by the constants of a large draw so that train and test agree."""
    x, y = shapes.draw(count, generator_for(0, f"glorot.{stream}"))
    order = torch.randperm(count, generator=generator_for(0, f"glorot.{stream}.order"))
    return Samples(((x - 0.12) / 0.26)[order].contiguous(), y[order].contiguous())


def start(made: Program, law: str, seed: int) -> Tensor:
    """[P] numbers: every layer by that law, biases zero."""
    numbers = torch.zeros(made.stride)
    for layer in made.layers:
        weight = numbers[layer.offset : layer.bias].view(layer.rows, layer.columns)
        LAWS[law](weight, generator=generator_for(seed, f"{layer.name}.weight"))
    return numbers


def variances(width: int, law: str, seeds: int) -> Variances:
    """At the start, by hidden layer, mean over seeds: of activations, of what arrives before them, of dL/dW."""
    made = program.mlp(shapes.SIDE**2, [width] * DEPTH, CLASSES, "tanh")
    numbers = torch.stack([start(made, law, seed) for seed in range(seeds)]).double()
    some = pictures(TEST, "test")
    _, values, deltas, gradients = fleet.observe(made, numbers, Samples(some.inputs[:200].double(), some.targets[:200]))
    first = [sum(made.rows[:place]) for place in range(len(made.rows))]
    found: dict[str, list[float]] = {place: [] for place in PLACES}
    for layer in made.hidden:
        assert layer.response is not None
        answers = values[:, first[layer.response] : first[layer.response] + width]
        arrived = deltas[:, first[layer.out] : first[layer.out] + width]
        for place, part in zip(PLACES, (answers, arrived, gradients[:, layer.offset : layer.bias]), strict=True):
            found[place].append(float(part.flatten(1).var(1).mean()))
    return found


def errors(activation: str, law: str, effort: Effort) -> tuple[float, list[float], list[float]]:
    """Best rate, test error of each seed at it, and the mean response of the top hidden layer over the steps."""
    made = program.mlp(shapes.SIDE**2, [WIDTHS[effort]] * DEPTH, CLASSES, activation)
    seeds, samples = SEEDS[effort], pictures(TRAIN[effort], "train")
    numbers = torch.stack([start(made, law, seed) for seed in range(seeds)]).repeat_interleave(len(RATES), 0)
    own = fleet.Fleet(made, numbers, torch.tensor(RATES).repeat(seeds), Update("sgd"))
    generators = [generator_for(seed, "glorot.order") for seed in range(seeds)]
    top = [_top(own)]
    for _ in range(10):
        count = STEPS[effort] // 10
        order = torch.stack(
            [torch.randint(0, len(samples.inputs), (count, BATCH), generator=each) for each in generators]
        )
        own.train_(samples, count, order.repeat_interleave(len(RATES), 0))
        top.append(_top(own))
    wrong = _wrong(own).view(seeds, len(RATES))
    best = int(wrong.mean(0).argmin())
    shown = torch.stack(top).view(len(top), seeds, len(RATES))[:, :, best].mean(1)
    return RATES[best], wrong[:, best].tolist(), shown.tolist()


def _wrong(own: fleet.Fleet) -> Tensor:
    """Share of test pictures each network gets wrong [M]; all of them where it left the numbers."""
    test = pictures(TEST, "test")
    _, values, *_ = fleet.observe(own.program, own.weights, test)
    found = (values[:, -CLASSES:].argmax(1) != test.targets).double().mean(1)
    return found.masked_fill(own.stopped >= 0, 1.0)


def _top(own: fleet.Fleet) -> Tensor:
    """Mean response of the top hidden layer [M]."""
    place = own.program.hidden[-1].response
    assert place is not None
    rows, before = own.program.rows[place], sum(own.program.rows[:place])
    test = pictures(TEST, "test")
    some = Samples(test.inputs[:100].contiguous(), test.targets[:100].contiguous())
    _, values, *_ = fleet.observe(own.program, own.weights, some)
    return values[:, before : before + rows].mean((1, 2)).double()


def run(effort: Effort, train: Train) -> Answer:  # noqa: ARG001 - drawn pictures and laws of its own
    """Variances by layer at the start, then test errors."""
    width = WIDTHS[effort]
    by_law = {law: variances(4 * width, law, SEEDS[effort]) for law in LAWS}
    trained = {f"{activation} {law}": errors(activation, law, effort) for activation, law in STARTS}
    tables = {"variances": _by_layer(by_law), "errors": _outcome(trained)}
    settings = {
        "width": width, "start width": 4 * width, "depth": DEPTH, "batch": BATCH, "steps": STEPS[effort],
        "seeds": SEEDS[effort], "rates": list(RATES), "train": TRAIN[effort], "test": TEST,
    }  # fmt: skip
    facts = {
        "factors": {f"{row[0]} {row[1]}": row[-1] for row in tables["variances"].rows},
        "errors": {row[0]: row[2] for row in tables["errors"].rows},
        "top": trained["sigmoid standard"][2],
    }
    return Answer("glorot", effort, settings, tables, facts, _figures(by_law))


def _by_layer(by_law: Mapping[str, Variances]) -> Table:
    layers = tuple(f"layer {number}" for number in range(1, DEPTH + 1))
    rows = [
        (law, place, *found[place], _factor(found[place], is_back="back" in place))
        for law, found in by_law.items()
        for place in PLACES
    ]
    return Table(("start", "variance of", *layers, "factor a layer"), tuple(rows))


def _outcome(trained: Mapping[str, tuple[float, list[float], list[float]]]) -> Table:
    """Test errors in percent: mean over the seeds, and largest minus smallest."""
    rows = [
        (name, rate, 100 * statistics.fmean(wrong), 100 * (max(wrong) - min(wrong)), len(wrong), PAPER[name])
        for name, (rate, wrong, _) in trained.items()
    ]
    head = ("activation and start", "rate", "test error, %", "spread", "seeds", "paper, table 1")
    return Table(head, tuple(rows))


def _factor(found: Sequence[float], *, is_back: bool) -> float:
    """Geometric mean of the factor from one layer to the next the signal reaches."""
    ratio: float = (found[0] / found[-1] if is_back else found[-1] / found[0]) ** (1 / (len(found) - 1))
    return ratio


def _figures(by_law: Mapping[str, Variances]) -> dict[str, Figure]:
    made = {}
    for name, place in zip(("activations", "gradients"), PLACES[:2], strict=True):
        series = {
            law: [(float(number), y) for number, y in enumerate(found[place], 1)] for law, found in by_law.items()
        }
        made[name] = lines(f"Variance of the {place}, at the start", "hidden layer", "variance", series, is_log_y=True)
    return made


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    factors, wrong, top = facts["factors"], facts["errors"], facts["top"]
    return paragraphs(
        "# What the variance of the weights does by layer",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/glorot.json; do not edit. -->",
        "Glorot & Bengio (2010) compared the start that was usual then, U(±1/√n), with one that weighs both "
        "directions, U(±√6/√(n + m)). The first has a variance of 1 / (3 n), so where tanh is nearly straight each "
        "layer divides the variance of the signal by three on its way up and that of the gradient by three on its way "
        "down. The gradient of a *weight* is the product of both, and the two fadings cancel: by layer it looks even, "
        "which is why looking at weight gradients alone hides the fault (section 4.2.2 of the paper).",
        f"**At the start** (tanh, {settings['depth']} hidden layers of {settings['start width']}, means over "
        f"{settings['seeds']} seeds): activations change by a factor of "
        f"{factors['standard activations']:.2f} a layer from the usual start and "
        f"{factors['normalised activations']:.2f} from the normalised one, gradients going back by "
        f"{factors['standard gradients, going back']:.2f} and {factors['normalised gradients, going back']:.2f}, "
        f"gradients of weights by {factors['standard gradients of the weights']:.2f} and "
        f"{factors['normalised gradients of the weights']:.2f}.",
        answer.tables["variances"].markdown(),
        "![Activations by layer](figures/glorot-activations.svg)\n![Gradients by layer](figures/glorot-gradients.svg)",
        f"**In training, scaled down:** the paper's Shapeset-3x2 (32 x 32 pixels, an endless stream, 1,000 units a "
        f"layer) is replaced by pictures drawn after its description, 16 x 16 pixels, {settings['train']} to train on "
        f"and {settings['test']} to test on; {settings['width']} units a layer, {settings['steps']} steps of gradient "
        f"descent in batches of {settings['batch']}, the best of the rates {', '.join(map(str, settings['rates']))} "
        "for each start. The last column is the paper's own test error on its own data (table 1): compare the order, "
        "not the numbers.",
        answer.tables["errors"].markdown(),
        f"tanh: {wrong['tanh normalised']:.1f} % wrong from the normalised start, {wrong['tanh standard']:.1f} % from "
        f"the usual one; sigmoid: {wrong['sigmoid standard']:.1f} % (chance: {100 - 100 / CLASSES:.1f} %).",
        "The paper's figure 2 shows the top sigmoid layer pushed to its lower end, 0, and staying there. Mean response "
        f"of ours at the start and after each tenth of the steps: {', '.join(f'{value:.2f}' for value in top)}.",
    )


STUDY = Study("glorot", "Variance of activations and gradients by layer", run, page)
