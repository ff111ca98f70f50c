"""Can a network of thousands of layers learn? Critical orthogonal weights and Fixup against Gaussian ones and He's."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stepzero.lab import fleet, program, starts, tasks
from stepzero.lab.figure import Figure, lines
from stepzero.lab.program import Program
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs
from stepzero.lab.update import Update
from stepzero.measure.gain import activation_gain
from stepzero.schemes.depth import fixup
from stepzero.schemes.seeding import generator_for

WIDTH, BATCH, SEEDS, BRANCH = 16, 32, 2, 2
DEPTHS = {"short": (30, 100, 300, 1000), "full": (100, 1000, 10_000)}
STEPS, BEGINNING, LAST = 300, 100, 20
"""Steps of the plain networks and of the residual ones, and how many losses at the end are averaged."""
RATES = (0.15, 0.5)
"""Of plain networks, divided by the number of layers: each moves the output."""
RESIDUAL_RATES = (0.003, 0.01)
"""Of residual networks, at every depth."""
PLAIN = {
    "orthogonal, critical": ("orthogonal", True),
    "Gaussian, critical": ("lecun", True),
    "Gaussian, keeps the variance": ("lecun", False),
}
"""Law, and whether its variance is `critical`; else it is the one that keeps the second moment across a tanh."""
RESIDUAL = ("Fixup", "He")


def critical(layers: int) -> float:
    """Variance of the weights times the width: 1 + L^(-1/2).

    At 1 a signal fades as 1 / L. A little above it stays, at a mean square of half the excess, and the gradient grows
    by a third of the *square* of the excess a layer: by e^(1/3) over all of them.
    """
    excess: float = layers**-0.5
    return 1 + excess


def run(effort: Effort, train: Train) -> Answer:  # noqa: ARG001 - deeper than a grid's networks are meant to be
    """Share of the loss that is gone after training at the best rate, for each start and depth."""
    plain = [(depth, *(_gone(*_plain(depth, *law), STEPS) for law in PLAIN.values())) for depth in DEPTHS[effort]]
    residual = [(depth, *(_gone(*_residual(depth, law), BEGINNING) for law in RESIDUAL)) for depth in DEPTHS[effort]]
    tables = {
        "plain": Table(("hidden layers", *PLAIN), tuple(plain)),
        "residual": Table(("layers in branches", *RESIDUAL), tuple(residual)),
    }
    settings = {
        "width": WIDTH, "steps": STEPS, "beginning": BEGINNING, "rates": list(RATES), "batch": BATCH, "seeds": SEEDS,
        "residual rates": list(RESIDUAL_RATES), "task": "clusters",
    }  # fmt: skip
    facts: dict[str, Any] = {
        "depths": [row[0] for row in plain],
        **{name: [row[place] for row in plain] for place, name in enumerate(PLAIN, 1)},
        **{name: [row[place] for row in residual] for place, name in enumerate(RESIDUAL, 1)},
    }
    return Answer("very-deep", effort, settings, tables, facts, _figures(facts))


Crew = tuple[Program, Tensor, Tensor]
"""Program, one start a seed [seeds, P] and the rates to try."""


def _plain(depth: int, law: str, is_critical: bool) -> Crew:  # noqa: FBT001 - a row of `PLAIN`
    made = program.mlp(20, [WIDTH] * depth, 5, "tanh")
    gain = critical(depth) ** 0.5 / activation_gain("tanh") if is_critical else 1.0
    return made, _starts(made, law, gain), torch.tensor(RATES) / depth


def _residual(depth: int, law: str) -> Crew:
    """ReLU blocks of `BRANCH` layers without norm; under Fixup the last of each block and the head start at zero."""
    blocks = depth // BRANCH
    made = program.residual(20, WIDTH, blocks, 5, "relu", has_norm=False, branch=BRANCH)
    numbers = _starts(made, "he", 1.0)
    for layer in made.layers if law == "Fixup" else ():
        if layer.name.startswith("block"):
            is_last = layer.name.endswith(f".{BRANCH - 1}")
            numbers[:, layer.offset : layer.bias] *= 0 if is_last else fixup(blocks, BRANCH)
        elif layer.name == "head":
            numbers[:, layer.offset : layer.bias] = 0
    return made, numbers, torch.tensor(RESIDUAL_RATES)


def _starts(made: Program, law: str, gain: float) -> Tensor:
    return torch.stack(
        [starts.start(made, weights=law, gain=gain, biases="zero", bias_scale=0.0, seed=seed) for seed in range(SEEDS)]
    )


def _gone(made: Program, numbers: Tensor, rates: Tensor, steps: int) -> float | None:
    """1 - loss at the end / loss at the start, mean over the seeds at the best rate; None if no loss is finite."""
    samples, count = tasks.get("clusters"), len(rates)
    own = fleet.Fleet(made, numbers.repeat_interleave(count, 0), rates.repeat(len(numbers)), Update("momentum"))
    order = torch.stack(
        [
            torch.randint(0, len(samples.inputs), (steps, BATCH), generator=generator_for(seed, "very-deep"))
            for seed in range(len(numbers))
        ]
    ).repeat_interleave(count, 0)
    losses = own.train_(samples, steps, order).double()
    if not losses[:, 0].isfinite().any():
        return None
    gone = 1 - losses[:, -LAST:].mean(1) / losses[:, :1].mean(1)
    best = gone.nan_to_num(0.0, neginf=0.0).clamp(min=0).view(len(numbers), count).mean(0).amax()
    return float(best)


def _figures(facts: dict[str, Any]) -> dict[str, Figure]:
    def shown(names: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
        return {
            name: [(float(x), y or 0.0) for x, y in zip(facts["depths"], facts[name], strict=True)] for name in names
        }

    plain, residual = shown(tuple(PLAIN)), shown(RESIDUAL)
    return {
        "plain": lines(f"Share of the loss gone after {STEPS} steps", "hidden layers", "share", plain, is_log_x=True),
        "residual": lines(
            f"Share of the loss gone after {BEGINNING} steps", "layers in branches", "share", residual, is_log_x=True
        ),
    }


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    orthogonal, gaussian, keeping = (f"{facts[name][-1]:.0%}" for name in PLAIN)
    return paragraphs(
        "# A network of thousands of layers",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/very-deep.json; do not edit. -->",
        "Without skip connections and norms a deep network learns only if signals neither fade nor grow (criticality) "
        "and if *no direction* does (isometry). Gaussian weights meet the first; their product over many layers still "
        "keeps few directions. Orthogonal weights meet both. Xiao and others (2018) trained convolutional networks of "
        "10,000 layers so, and Saxe, McClelland & Ganguli (2014) showed it for linear ones.",
        f"**Tried here, scaled down:** fully connected, tanh, width {settings['width']}, clusters in 20 dimensions, "
        f"{settings['steps']} steps with momentum 0.9 in batches of {settings['batch']}, the best of the rates "
        f"{' and '.join(map(str, settings['rates']))} divided by the depth, mean of {settings['seeds']} seeds. "
        "Critical: weights of variance (1 + 1/√L) / width.",
        f"At {facts['depths'][-1]} hidden layers {orthogonal} of the loss is gone from the critical orthogonal start, "
        f"{gaussian} from the critical Gaussian one and {keeping} from the Gaussian one that keeps the variance.",
        "![Share of the loss gone, plain networks](figures/very-deep-plain.svg)",
        answer.tables["plain"].markdown(),
        _with_skips(answer),
    )


def _with_skips(answer: Answer) -> str:
    settings, facts = answer.settings, answer.facts
    depths, fixed, he = facts["depths"], facts["Fixup"], facts["He"]
    overflown = [depth for depth, value in zip(depths, he, strict=True) if value is None]
    fate = (
        f"from {overflown[0]} layers on the loss of He's start is no number at step 0"
        if overflown
        else f"{he[-1]:.0%} with He's start"
    )
    return paragraphs(
        "## With skip connections, without norms",
        "A residual stream multiplies the variance by two a block when its branches start by He's law. Fixup (Zhang, "
        "Dauphin & Ma 2019) starts the last layer of each branch and the head at zero and makes the others smaller "
        "with depth, so that a step changes the output by the same at any depth; the paper trains up to 10,000 layers "
        "and compares the first epoch. Ours leaves out its scalar biases and multipliers.",
        f"**Tried here, scaled down:** ReLU, two layers a branch, width {settings['width']}, the first "
        f"{settings['beginning']} steps, the best of the rates {' and '.join(map(str, settings['residual rates']))} at "
        f"every depth. From Fixup's start {fixed[0]:.0%} of the loss is gone at {depths[0]} layers and "
        f"{fixed[-1]:.0%} at {depths[-1]}; {fate}.",
        "![Share of the loss gone, residual networks](figures/very-deep-residual.svg)",
        answer.tables["residual"].markdown(),
        "An empty cell: the loss at the start is no number.",
    )


STUDY = Study("very-deep", "Thousands of layers: orthogonal and Fixup against Gaussian and He's weights", run, page)
