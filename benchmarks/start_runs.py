"""Rows and methods of the benchmark of starts, and what one method reaches on one row."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import stepzero as sz
from benchmarks import learned_starts
from benchmarks.learned_starts import FORWARD, GRADIENT
from benchmarks.small import fleet, nets, tasks, training
from benchmarks.small.tasks import Task

CHECKED = 64
"""Samples that a start may look at in one pass."""
MOMENTUM_RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
ADAM_RATES = (0.001, 0.003, 0.01, 0.03, 0.1)


@dataclass(frozen=True)
class Row:
    """A network and what it learns."""

    build: Callable[[], nn.Module]
    task: str
    optimizer: str = "momentum"

    @property
    def rates(self) -> tuple[float, ...]:
        return MOMENTUM_RATES if self.optimizer == "momentum" else ADAM_RATES


def _plain(activation: str, depth: int) -> Row:
    return Row(lambda: nets.plain(32, depth, activation), "digits")


ROWS: dict[str, Row] = {
    **{f"MLP tanh {depth}": _plain("tanh", depth) for depth in (5, 10, 20, 50)},
    **{f"MLP ReLU {depth}": _plain("relu", depth) for depth in (5, 10, 20, 50)},
    "ResNet-20, no norm": Row(lambda: nets.residual(4, 3), "digit images"),
    "transformer, pre-norm": Row(lambda: nets.Transformer(16, 3, norm_first=True), "strides", "adam"),
    "transformer, post-norm": Row(lambda: nets.Transformer(16, 3, norm_first=False), "strides", "adam"),
    "LSTM": Row(lambda: nets.Recurrent("lstm"), "recall", "adam"),
    "GRU": Row(lambda: nets.Recurrent("gru"), "recall", "adam"),
}  # fmt: skip


def outcome(row: Row, method: str, *, seeds: int, steps: int) -> dict[str, Any]:
    """What one method reaches on one row; losses that are not finite are null."""
    task = tasks.get(row.task)
    models, costs = [], []
    for seed in range(seeds):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            models.append(row.build())
            try:
                costs.append(METHODS[method](models[-1], task, row, seed))
            except (RuntimeError, TypeError, ValueError, NotImplementedError, sz.StepzeroError) as error:
                return {"not_run": " ".join(f"{type(error).__name__}: {error}".split())[:160]}
    losses = dict(zip(row.rates, _trained(row, models, steps), strict=True))
    first = [training.final_loss(model, task) for model in models]
    diverged = sum(not end < start for each in losses.values() for end, start in zip(each, first, strict=True))
    best = min(row.rates, key=lambda rate: statistics.fmean(losses[rate]))
    mean, spread = statistics.fmean(losses[best]), 0.0
    if math.isfinite(mean):
        spread = statistics.stdev(losses[best]) / math.sqrt(seeds)
    return {
        "loss": mean if math.isfinite(mean) else None, "standard_error": spread, "rate": best,
        "first_loss": _finite(first),
        "diverged": diverged / (seeds * len(row.rates)), "forwards": statistics.fmean(costs),
        "by_rate": {f"{rate:g}": _finite(losses[rate]) for rate in row.rates},
    }  # fmt: skip


def _finite(values: list[float]) -> list[float | None]:
    return [each if math.isfinite(each) else None for each in values]


def _trained(row: Row, models: list[nn.Module], steps: int) -> list[list[float]]:
    """Losses by learning rate and seed."""
    task, seeds = tasks.get(row.task), list(range(len(models)))
    if not any(isinstance(module, nn.LSTM | nn.GRU) for module in models[0].modules()):
        pairs = [(rate, seed) for rate in row.rates for seed in seeds]
        stacked = fleet.train([models[seed] for _, seed in pairs], task, row.optimizer, [rate for rate, _ in pairs],
                              [seed for _, seed in pairs], steps=steps)  # fmt: skip
        return [stacked[start : start + len(seeds)] for start in range(0, len(pairs), len(seeds))]
    starts = [{name: value.clone() for name, value in model.state_dict().items()} for model in models]
    losses = []
    for rate in row.rates:
        losses.append(
            [training.train(models[seed], task, row.optimizer, rate, seed=seed, steps=steps) for seed in seeds]
        )
        for model, start in zip(models, starts, strict=True):
            model.load_state_dict(start)
    return losses


def _default(*_: Any) -> int:
    return 0


def _by_tutorial(fill: Callable[[Tensor], Tensor]) -> Callable[..., int]:
    """One law for every weight of two axes and more, biases zero."""

    def start(model: nn.Module, *_: Any) -> int:
        with torch.no_grad():
            for name, value in model.named_parameters():
                if value.dim() > 1:
                    fill(value)
                elif "bias" in name:
                    value.zero_()
        return 0

    return start


def _lsuv(model: nn.Module, task: Task, _: Row, seed: int) -> int:
    import lsuv

    counter = Counter(model)
    lsuv.lsuv_with_singlebatch(model, _batch(task, seed)[0], verbose=False)
    return counter.cost


def _gradinit(model: nn.Module, task: Task, row: Row, seed: int) -> int:
    with learned_starts.plain_kernels():
        return learned_starts.gradinit(model, task, optimizer=row.optimizer, seed=1000 + seed)


def _metainit(model: nn.Module, task: Task, _: Row, seed: int) -> int:
    with learned_starts.plain_kernels():
        return learned_starts.metainit(model, task, seed=1000 + seed)


def _auto(model: nn.Module, task: Task, _: Row, seed: int) -> int:
    inputs, targets = _batch(task, seed)
    counter = Counter(model)
    sz.init_(model, inputs, loss=training.loss_of, target=targets, seed=seed)
    return counter.cost


def _batch(task: Task, seed: int) -> tuple[Tensor, Tensor]:
    return task.batch(torch.Generator().manual_seed(1000 + seed), CHECKED)


class Counter:
    """Forward passes of a model from now on; one that gradients are wanted of counts its backward as well."""

    def __init__(self, model: nn.Module) -> None:
        self.cost = 0
        model.register_forward_pre_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.cost += GRADIENT if torch.is_grad_enabled() else FORWARD


METHODS: dict[str, Callable[[nn.Module, Task, Row, int], int]] = {
    "torch": _default,
    "he": _by_tutorial(nn.init.kaiming_normal_),
    "glorot": _by_tutorial(nn.init.xavier_normal_),
    "lsuv": _lsuv,
    "gradinit": _gradinit,
    "metainit": _metainit,
    "auto": _auto,
}
