"""Units that are one in disguise: which optimizers keep lumped units, whose weights all differ, together?"""

from typing import Any

import torch
from torch import Tensor

from stepzero.lab import fleet, program
from stepzero.lab.program import Program
from stepzero.lab.study import Answer, Effort, Study, Table, Train, paragraphs
from stepzero.lab.task import Samples
from stepzero.lab.update import Update
from stepzero.schemes.seeding import generator_for

WIDTH, BLOCK, INPUTS, OUTPUTS, BATCH = 6, 3, 10, 3, 32
STEPS = {"short": 300, "full": 1000}
SEEDS = {"short": 3, "full": 10}
UPDATES = {
    "SGD": (Update("sgd"), 0.1),
    "SGD, decay 1e-2": (Update("sgd", decay=1e-2), 0.1),
    "momentum, decay 1e-2": (Update("momentum", decay=1e-2), 0.02),
    "Adam": (Update("adam"), 0.003),
    "AdamW, decay 1e-2": (Update("adamw", decay=1e-2), 0.003),
    "Adam, coupled decay 1e-2": (Update("adam", decay=1e-2), 0.003),
}


def start(made: Program, seed: int) -> Tensor:
    """Random numbers, lumped: equal sums over blocks of rows and of columns, biases equal in a block."""
    numbers = torch.zeros(made.stride, dtype=torch.float64)
    generator = generator_for(seed, "lumped")
    for layer in made.layers:
        W = torch.randn(layer.rows, layer.columns, generator=generator, dtype=torch.float64) / layer.columns**0.5
        left, right = _means(layer.rows), _means(layer.columns)
        # Block means, and what has no mean over any block of rows or of columns.
        lumped = left @ W @ right + (W - left @ W) @ (torch.eye(layer.columns, dtype=torch.float64) - right)
        numbers[layer.offset : layer.bias] = lumped.flatten()
    return numbers


def _means(count: int) -> Tensor:
    """[n, n] projection on block means; inputs and outputs are blocks of their own."""
    if count != WIDTH:
        return torch.eye(count, dtype=torch.float64)
    block = torch.full((BLOCK, BLOCK), 1 / BLOCK, dtype=torch.float64)
    whole: Tensor = torch.block_diag(*[block] * (WIDTH // BLOCK))
    return whole


def gaps(made: Program, numbers: Tensor, samples: Samples) -> tuple[float, float]:
    """Largest difference inside a block, of responses and of the middle layer's rows."""
    _, values, *_ = fleet.observe(made, numbers[None], samples)
    first = sum(made.rows[: made.layers[1].response])
    h = values[0, first : first + WIDTH].unflatten(0, (-1, BLOCK))
    layer = made.layers[1]
    W = numbers[layer.offset : layer.bias].view(WIDTH // BLOCK, BLOCK, WIDTH)
    return tuple(float((each - each[:, :1]).abs().amax()) for each in (h, W))  # type: ignore[return-value]  # two of them


def run(effort: Effort, train: Train) -> Answer:  # noqa: ARG001 - starts of its own, a few seconds
    """Gap of responses before and after training, for each optimizer."""
    made = program.mlp(INPUTS, [WIDTH] * 3, OUTPUTS, "tanh")
    generator = generator_for(0, "lumped data")
    inputs = torch.randn(256, INPUTS, generator=generator, dtype=torch.float64)
    samples = Samples(inputs, torch.randint(0, OUTPUTS, (256,), generator=generator))
    order = torch.randint(0, 256, (SEEDS[effort], STEPS[effort], BATCH), generator=generator)
    rows: list[tuple[Any, ...]] = []
    for name, (update, rate) in UPDATES.items():
        numbers = torch.stack([start(made, seed) for seed in range(SEEDS[effort])])
        before = [gaps(made, each, samples) for each in numbers]
        own = fleet.Fleet(made, numbers, torch.full((len(numbers),), rate), update)
        own.train_(samples, STEPS[effort], order)
        after = [gaps(made, each, samples) for each in own.weights]
        kept = all(gap <= KEPT for gap, _ in after)
        rows.append((name, "yes" if kept else "no", *(max(each[0] for each in part) for part in (before, after)),
                     min(each[1] for each in after)))  # fmt: skip
    head = ("optimizer", "kept", "gap of responses, start", "end", "gap of weight rows, end")
    settings = {"steps": STEPS[effort], "seeds": SEEDS[effort], "batch": BATCH, "kept": KEPT}
    facts = {row[0]: {"kept": row[1], "gap": row[3], "rows": row[4]} for row in rows}
    return Answer("lumped", effort, settings, {"optimizers": Table(head, tuple(rows))}, facts)


KEPT = 1e-9
"""Largest gap of responses that counts as none, in float64."""


def page(answer: Answer) -> str:
    """The page."""
    settings, facts = answer.settings, answer.facts
    kept = [name for name, each in facts.items() if each["kept"] == "yes"]
    broken = [name for name, each in facts.items() if each["kept"] == "no"]
    return paragraphs(
        "# Units that are copies although their weights differ",
        "<!-- Written by `python -m tools.answers` from docs/answers/data/lumped.json; do not edit. -->",
        "Two units need not have equal weights to be one unit. It is enough that, block by block of the layer below, "
        "their weights have equal sums, and likewise for what reads them. Updates that keep such sums keep the units "
        "together for ever; comparing rows does not find them.",
        f"**Tried here:** tanh, three hidden layers of {WIDTH} in blocks of {BLOCK}, random labels, batches of "
        f"{settings['batch']}, {settings['steps']} steps, {settings['seeds']} seeds, float64. Kept means a gap of "
        f"responses of at most {settings['kept']:g}.",
        f"Kept by {'; '.join(kept)}. Broken by {'; '.join(broken)}: dividing a sum of gradient and decay by its own "
        "size treats the entries of a block differently.",
        answer.tables["optimizers"].markdown(),
    )


STUDY = Study("lumped", "Lumped units by optimizer", run, page)
