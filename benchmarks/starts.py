"""Starts beside each other: loss after 200 steps over a grid of learning rates, and how often training diverges.

    python -m benchmarks.starts                     every row, five seeds; most of an hour on one core
    python -m benchmarks.starts --rows LSTM,post    rows whose name contains one of these
    python -m benchmarks.starts --methods auto,he
    python -m benchmarks.starts --short             one shallow network, two seeds, 20 steps

A row is a network on a task. Every method starts it from five seeds and trains at every learning rate of the grid. A
method's loss on a row is its mean over seeds at its best learning rate, with the standard error. A training run
diverges when its loss ends not finite or above where it began. Costs are forward passes (`learned_starts` says how
they are counted). A method that cannot run on a network is "not run" there. `auto` is `sz.init_`. Runs with all
methods put their rows into ``benchmarks/results/starts.json``; exit 1 when `auto` misses a bar.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import stepzero as sz
from benchmarks import learned_starts, machine
from benchmarks.learned_starts import FORWARD, GRADIENT
from benchmarks.small import fleet, nets, tasks, training
from benchmarks.small.tasks import Task

RESULTS = Path(__file__).parent / "results" / "starts.json"
SEEDS = 5
CHECKED = 64
"""Samples that a start may look at in one pass."""
ROWS_BAR, COST_BAR = 0.9, 500
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


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 1 when a bar is missed."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    began = time.process_time()
    names = [name for name in ROWS if any(part in name for part in options.rows.split(","))]
    methods = [name for name in METHODS if name in options.methods.split(",") or not options.methods]
    seeds, steps = SEEDS, training.STEPS
    if options.short:
        names, seeds, steps = names[:1], 2, 20
    results = {}
    for name in names:
        results[name] = {method: outcome(ROWS[name], method, seeds=seeds, steps=steps) for method in methods}
        _print_row(name, results[name])
        if not options.short and methods == list(METHODS):
            _write({name: results[name]}, time.process_time() - began)
    document = summary(results) if "auto" in methods else {"meets_bars": True}
    print(json.dumps(document, indent=1))
    return 0 if document["meets_bars"] else 1


def _write(fresh: dict[str, Any], seconds: float) -> None:
    """Put one row into the stored results, which may be made in several runs; rows not run yet are named."""
    known = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}
    rows = {name: {**known, **fresh}[name] for name in ROWS if name in known or name in fresh}
    missing = [name for name in ROWS if name not in rows]
    head = {"machine": machine.describe(), "seconds_of_last_run": round(seconds), "rows_not_run": missing}
    document = summary(rows)
    document["meets_bars"] &= not missing
    RESULTS.write_text(json.dumps({**head, **document, "rows": rows}, indent=1) + "\n")


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


def summary(results: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """How often `auto` is best or within one standard error of the best, what diverges, what it costs."""
    won = {name: is_best(row) for name, row in results.items()}
    diverged = {
        method: statistics.fmean(row[method]["diverged"] for row in results.values())
        for method in METHODS
        if all("diverged" in row.get(method, {}) for row in results.values())
    }
    ran = [row for row in results.values() if "forwards" in row.get("gradinit", {}) and "forwards" in row["auto"]]
    cheaper = min((row["gradinit"]["forwards"] / row["auto"]["forwards"] for row in ran), default=math.inf)
    share = sum(won.values()) / max(1, len(won))
    steadiest = all(diverged.get("auto", 1.0) <= each for each in diverged.values())
    return {
        "best_or_within_one_standard_error": share, "rows_bar": ROWS_BAR,
        "lost": [name for name in won if not won[name]],
        "diverged": diverged, "diverges_least": steadiest,
        "cheaper_than_gradinit": cheaper if math.isfinite(cheaper) else None, "cost_bar": COST_BAR,
        "meets_bars": share >= ROWS_BAR and steadiest and cheaper >= COST_BAR,
    }  # fmt: skip


def is_best(row: dict[str, dict[str, Any]]) -> bool:
    """Whether no method's mean is below that of `auto` by more than that method's standard error."""
    own = row["auto"].get("loss")
    others = [each for each in row.values() if each.get("loss") is not None]
    if own is None or not others:
        return False
    best = min(others, key=lambda each: float(each["loss"]))
    return bool(own <= best["loss"] + best["standard_error"])


def _print_row(name: str, row: dict[str, dict[str, Any]]) -> None:
    print(f"\n{name}")
    for method, each in row.items():
        if "not_run" in each:
            print(f"  {method:<10} not run: {each['not_run']}")
            continue
        loss = "inf" if each["loss"] is None else f"{each['loss']:.4g} +- {each['standard_error']:.2g}"
        means = " ".join(_mean(values) for values in each["by_rate"].values())
        print(f"  {method:<10}{loss:>20} at {each['rate']:<6g} diverged {each['diverged']:>4.0%}"
              f"  forwards {each['forwards']:<7.0f} {means}", flush=True)  # fmt: skip


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.3g}" if len(known) == len(values) else "inf"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one row, two seeds, 20 steps")
    parser.add_argument("--rows", default="", help="parts of names of rows, separated by commas")
    parser.add_argument("--methods", default="", help="names of methods, separated by commas; all when empty")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
