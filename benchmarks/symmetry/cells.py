"""The nine cells, weights and biases each zero, constant or random: what is learned, beside the verdict at step zero.

2-w-1 nets on 128 points of the square, the XOR of quadrants or a linear target, 3000 full-batch steps of gradient
descent (0.5) or Adam (0.01); 20 seeds, one where nothing is random. All nets of a table train as one batched model.
"""

import math
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FILLS = ("zero", "constant", "random")
CONSTANT = 0.5
BIAS_STD = 0.5
POINTS = 128
SEEDS = 20
LEARNED = 0.9
"""Accuracy from which a net counts as having learned."""
SURE = 0.9
"""Share of seeds that must learn for a cell to count as learning; fewer is luck."""
SLOW = 3.0
"""Times the steps of the random / zero cell from which learning counts as slow."""
ACTS = {"tanh": torch.tanh, "relu": torch.relu}
TASKS = ("xor", "linear")
RATES = {"gd": 0.5, "adam": 0.01}
CODES = ("SZ201", "SZ202", "SZ203", "SZ204", "SZ205", "SZ206", "SZ305", "SZ402", "SZ404", "SZ701")
CHECKED = 5
"""Seeds of each cell that are also checked at step zero."""
DISTINCT = 1e-6
"""Relative distance of two units' rows and biases from which they count as two."""

Cell = tuple[str, str]


@dataclass(frozen=True)
class Nets:
    """N nets of one hidden layer: weights [N, 2, w], biases [N, 1, w], head [N, w, 1], head bias [N, 1, 1]."""

    values: tuple[Tensor, Tensor, Tensor, Tensor]
    inputs: Tensor
    """[N, POINTS, 2]."""
    labels: Tensor
    """[N, POINTS, 1], 0 or 1."""

    def pick(self, index: int, act: str) -> tuple[nn.Module, Tensor, Any]:
        """One of them as a plain module, its points and its loss."""
        weight, bias, head, last = (value[index].detach() for value in self.values)
        first, second = nn.Linear(2, weight.shape[1]), nn.Linear(weight.shape[1], 1)
        pairs = ((first.weight, weight.T), (first.bias, bias[0]), (second.weight, head.T), (second.bias, last[0]))
        with torch.no_grad():
            for parameter, value in pairs:
                parameter.copy_(value)
        labels = self.labels[index]
        activation = nn.Tanh() if act == "tanh" else nn.ReLU()
        model = nn.Sequential(first, activation, second)
        return model, self.inputs[index], lambda output: F.binary_cross_entropy_with_logits(output, labels)


@dataclass(frozen=True)
class Learned:
    """How each of N nets ended."""

    accuracy: Tensor
    reached: Tensor
    """Step at which accuracy was first at least LEARNED; infinite when never."""
    distinct: Tensor
    """Units with different rows or biases, dead ones counted as one."""
    dead: Tensor
    """Share of ReLU units that are off on every point."""


def run(
    *, widths: tuple[int, ...] = (8, 64), seeds: int = SEEDS, steps: int = 3000, checks: int = CHECKED
) -> list[dict[str, Any]]:
    """One row a (width, activation, task, optimizer, cell)."""
    return [
        row
        for width, act, task in product(widths, ACTS, TASKS)
        for row in _table(width, act, task, seeds=seeds, steps=steps, checks=checks)
    ]


def runs_of(cell: Cell, seeds: int) -> int:
    """Effective n: a cell without randomness is one run."""
    return seeds if "random" in cell else 1


def draw(cells: list[Cell], width: int, task: str, *, seeds: int) -> Nets:
    """The nets of the given cells in order; seed s of every cell sees the same points."""
    parts = [
        _one(cell, width, task, torch.Generator().manual_seed(seed))
        for cell in cells
        for seed in range(runs_of(cell, seeds))
    ]
    columns = [torch.stack(column) for column in zip(*parts, strict=True)]
    return Nets((columns[2], columns[3], columns[4], columns[5]), columns[0], columns[1])


def _one(cell: Cell, width: int, task: str, generator: torch.Generator) -> tuple[Tensor, ...]:
    inputs = 2 * torch.rand(POINTS, 2, generator=generator) - 1
    side = inputs.prod(1) if task == "xor" else inputs.sum(1)
    weights, biases = cell
    first = _fill(weights, (2, width), 1 / math.sqrt(2), generator)
    bias = _fill(biases, (1, width), BIAS_STD, generator)
    head = _fill(weights, (width, 1), 1 / math.sqrt(width), generator)
    last = _fill(biases, (1, 1), BIAS_STD, generator)
    return inputs, (side > 0).float()[:, None], first, bias, head, last


def _fill(how: str, shape: tuple[int, ...], std: float, generator: torch.Generator) -> Tensor:
    if how == "random":
        return std * torch.randn(shape, generator=generator)
    return torch.full(shape, CONSTANT if how == "constant" else 0.0)


def train(nets: Nets, act: str, optimizer: str, *, steps: int) -> Learned:
    """Train all nets at once; the sum of losses keeps their gradients apart."""
    values = [value.clone().requires_grad_() for value in nets.values]
    rate = RATES[optimizer]
    chosen = torch.optim.SGD(values, lr=rate) if optimizer == "gd" else torch.optim.Adam(values, lr=rate)
    reached = torch.full((len(nets.inputs),), math.inf)
    accuracy = torch.zeros(len(nets.inputs))
    for step in range(steps + 1):
        logits = _logits(values, nets.inputs, act)
        if step % 20 == 0 or step == steps:
            accuracy = ((logits > 0) == (nets.labels > 0.5)).float().mean((1, 2))
            reached = torch.where((accuracy >= LEARNED) & reached.isinf(), torch.tensor(float(step)), reached)
        loss = F.binary_cross_entropy_with_logits(logits, nets.labels, reduction="none").mean((1, 2)).sum()
        chosen.zero_grad()
        loss.backward()
        if step < steps:
            chosen.step()
    return Learned(accuracy, reached, *_units([value.detach() for value in values], nets.inputs, act))


def _logits(values: list[Tensor], inputs: Tensor, act: str) -> Tensor:
    weight, bias, head, last = values
    return torch.baddbmm(last, ACTS[act](torch.baddbmm(bias, inputs, weight)), head)


def _units(values: list[Tensor], inputs: Tensor, act: str) -> tuple[Tensor, Tensor]:
    """Distinct units and the dead share of each net."""
    seen = torch.baddbmm(values[1], inputs, values[0])
    is_dead = (seen <= 0).all(1) if act == "relu" else torch.zeros(len(seen), seen.shape[2], dtype=torch.bool)
    rows = torch.cat([values[0], values[1]], 1).transpose(1, 2)
    distinct = [_count(row[~dead]) + bool(dead.any()) for row, dead in zip(rows, is_dead, strict=True)]
    return torch.tensor(distinct), is_dead.float().mean(1)


def _count(rows: Tensor) -> int:
    """Groups of rows closer than DISTINCT to the first of their group."""
    kept: list[Tensor] = []
    for row in rows:
        if not any(bool((row - other).norm() <= DISTINCT * (1 + other.norm())) for other in kept):
            kept.append(row)
    return len(kept)


def _table(width: int, act: str, task: str, *, seeds: int, steps: int, checks: int) -> list[dict[str, Any]]:
    cells = list(product(FILLS, FILLS))
    nets = draw(cells, width, task, seeds=seeds)
    single = draw([("random", "random")], 1, task, seeds=seeds)
    starts = [sum(runs_of(cell, seeds) for cell in cells[:index]) for index in range(len(cells))]
    verdicts = {
        cell: verdict([nets.pick(start + seed, act) for seed in range(min(checks, runs_of(cell, seeds)))])
        for cell, start in zip(cells, starts, strict=True)
    }
    rows = []
    for optimizer in RATES:
        ended, one = train(nets, act, optimizer, steps=steps), train(single, act, optimizer, steps=steps)
        parts = {cell: slice(start, start + runs_of(cell, seeds)) for cell, start in zip(cells, starts, strict=True)}
        pace = float(ended.reached[parts["random", "zero"]].median())
        for cell in cells:
            row = {
                "width": width,
                "act": act,
                "task": task,
                "optimizer": optimizer,
                "weights": cell[0],
                "biases": cell[1],
            }
            row |= _row(ended, parts[cell], ceiling=float(one.accuracy.max()), pace=pace)
            row |= verdicts[cell]
            rows.append(row | {"agrees": row["severity"] in EXPECTED[row["outcome"]]})
    return rows


EXPECTED = {
    "one unit": ("error",),
    "stuck": ("error",),
    "luck": ("warning",),
    "slow": ("warning",),
    "learns": ("info", "silent"),
}
"""Which verdict an outcome asks for."""


def _row(ended: Learned, part: slice, *, ceiling: float, pace: float) -> dict[str, Any]:
    """Numbers of one cell and the outcome in a word.

    one unit: no net ends with two different units. stuck: several, and none reaches LEARNED or does better than the
    best net of one unit. luck: some learn, or do better. slow: nearly all learn, SLOW times later than random / zero.
    """
    accuracy, reached, distinct = ended.accuracy[part], ended.reached[part], ended.distinct[part]
    learned = int((accuracy >= LEARNED).sum())
    share = learned / len(accuracy)
    if int(distinct.max()) <= 1:
        outcome = "one unit"
    elif share >= SURE:
        outcome = "slow" if float(reached.median()) > SLOW * pace else "learns"
    else:
        is_beyond = share > 0 or float(accuracy.max()) > ceiling
        outcome = "luck" if is_beyond else "stuck"
    return {
        "n": len(accuracy), "learned": learned, "share": share,
        "accuracy": round(float(accuracy.median()), 3), "best": round(float(accuracy.max()), 3),
        "one_unit_best": round(ceiling, 3), "distinct": float(distinct.float().median()),
        "dead": round(float(ended.dead[part].mean()), 3), "steps": float(reached.median()), "outcome": outcome,
    }  # fmt: skip


def verdict(subjects: list[tuple[nn.Module, Tensor, Any]]) -> dict[str, Any]:
    """Worst severity, by majority of the seeds looked at, and the codes with the number of seeds that show them."""
    import stepzero

    worst, codes = Counter[str](), Counter[str]()
    for model, batch, loss in subjects:
        said = [finding for finding in stepzero.check(model, batch, loss).findings if finding.code in CODES]
        worst[min((finding.severity for finding in said), key=_rank, default="silent")] += 1
        codes.update({f"{finding.code} {finding.severity}" for finding in said})
    return {"severity": worst.most_common(1)[0][0], "severities": dict(worst), "codes": dict(sorted(codes.items()))}


def _rank(severity: str) -> int:
    return ("error", "warning", "info", "silent").index(severity)


def starts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a start: a verdict at step zero knows neither target nor optimizer, so all their outcomes count.

    Asked for: an error when no combination gets beyond one unit, silence or a note when all learn, else a warning.
    """
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["act"], row["weights"], row["biases"]), []).append(row)
    return [_start(*key, of_start) for key, of_start in found.items()]


def _start(act: str, weights: str, biases: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    outcomes, said = Counter(row["outcome"] for row in rows), Counter(row["severity"] for row in rows)
    if set(outcomes) <= {"one unit", "stuck"}:
        asked: tuple[str, ...] = ("error",)
    else:
        asked = ("info", "silent") if set(outcomes) == {"learns"} else ("warning",)
    return {
        "act": act, "weights": weights, "biases": biases, "outcomes": dict(outcomes), "severities": dict(said),
        "asked": " or ".join(asked), "agrees": all(severity in asked for severity in said),
    }  # fmt: skip
