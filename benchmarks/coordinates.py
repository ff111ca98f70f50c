"""Does the coordinate check find wrong scalings, and keep quiet about right ones?

    python -m benchmarks.coordinates            widths 64 to 512, 3 seeds
    python -m benchmarks.coordinates --short    widths 32 to 128, 2 seeds

Three models in the maximal update parametrisation as `mup_` starts them (perceptrons under Adam and under SGD, a small
transformer under Adam), and six mistakes planted in them, one at a time. Batches are random, fixed, and the same at
every width. A full run writes ``benchmarks/results/coordinates.json``.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import machine
from stepzero.core.coordinates import CoordinateCheck
from stepzero.probe.coordinates import coordinate_check
from stepzero.repair.mup import mup_

RESULTS = Path(__file__).parent / "results" / "coordinates.json"
HEADS, TOKENS, LENGTH, FEATURES, CLASSES = 4, 32, 12, 24, 10
Groups = list[dict[str, Any]]


class Perceptron(nn.Module):
    """Three weights and a readout; ``multiplier`` is 1 / r."""

    def __init__(self, width: int, multiplier: float, **_: Any) -> None:
        super().__init__()
        self.stem = nn.Linear(FEATURES, width, bias=False)
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, CLASSES, bias=False)
        self.multiplier = multiplier

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x).relu()).relu()
        return self.head(self.second(x).relu()) * self.multiplier


class Attention(nn.Module):
    """Causal self-attention; logits are q k^T x ``scale``."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (each.view(batch, length, HEADS, -1).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        logits = (q @ k.mT) * self.scale
        past = torch.ones(length, length, dtype=torch.bool).tril()
        mixed = logits.masked_fill(~past, -torch.inf).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm, each added."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = Attention(width, scale)
        self.up, self.down = nn.Linear(width, 2 * width, bias=False), nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norms[0](x))
        return x + self.down(nn.functional.gelu(self.up(self.norms[1](x))))


class Transformer(nn.Module):
    """Two blocks over token and position tables; scales agree with 1 / sqrt(d) at the base width."""

    def __init__(self, width: int, multiplier: float, *, base: int, power: float = 1.0, is_tied: bool = False) -> None:
        super().__init__()
        head, base_head = width // HEADS, base // HEADS
        scale = base_head ** (power - 0.5) * head**-power
        self.tokens, self.places = nn.Embedding(TOKENS, width), nn.Embedding(LENGTH, width)
        self.blocks = nn.ModuleList([Block(width, scale), Block(width, scale)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, TOKENS, bias=False)
        if is_tied:
            self.head.weight = self.tokens.weight
        self.multiplier = multiplier

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)) * self.multiplier


@dataclass(frozen=True)
class Case:
    """One family of models: right, or with one mistake."""

    name: str
    kind: type[Perceptron] | type[Transformer]
    optimizer: str
    is_right: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    has_multiplier: bool = True
    spoil: Callable[[nn.Module, Groups, float], None] | None = None
    """Changes the model or its groups, told r."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 1 when a mistake is missed or a right model raises an alarm."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    widths, seeds = ((32, 64, 128), 2) if options.short else ((64, 128, 256, 512), 3)
    rows = [judged(case, widths, seeds) for case in CASES]
    _print(rows)
    if not options.short:
        document = {"machine": machine.describe(), "widths": list(widths), "seeds": seeds, "rows": rows}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row["is_found"] for row in rows) else 1


def judged(case: Case, widths: tuple[int, ...], seeds: int) -> dict[str, Any]:
    """What the check says of one case; ``is_found``: an alarm exactly if a mistake was planted."""
    began = time.process_time()
    found = check(case, widths, seeds)
    return {
        "case": case.name, "is_right": case.is_right, "is_found": found.ok == case.is_right,
        "seconds": round(time.process_time() - began, 2), "sentence": found.sentence, "alarms": [
            {"place": place.name, "verdict": place.verdict, "step": slope.step, "slope": round(slope.value, 3),
             "interval": [round(slope.low, 3), round(slope.high, 3)]}
            for place in found.alarms if (slope := place.decisive) is not None
        ],
    }  # fmt: skip


def check(case: Case, widths: tuple[int, ...], seeds: int) -> CoordinateCheck:
    """The coordinate check of one case; the narrowest width is the base."""
    base = min(widths)
    made = torch.optim.Adam if case.optimizer == "adam" else torch.optim.SGD
    return coordinate_check(
        lambda width: started(case, width, base), widths, optimizer=lambda model: made(model.groups), seeds=seeds
    )


def started(case: Case, width: int, base: int) -> tuple[nn.Module, tuple[Tensor, Tensor], str]:
    """The model as `mup_` starts it, its groups as an attribute, with the mistake; batch and loss."""
    ratio, options = width / base, dict(case.options)
    model = case.kind(width, 1 / ratio, base=base, **options)
    narrow = case.kind(base, 1.0, base=base, **options)
    x, y = batch_of(case)
    seed = int(torch.randint(1 << 30, ()))
    rate = 2e-3 if case.optimizer == "adam" else 0.1
    _, groups = mup_(model, narrow, x, optimizer=case.optimizer, lr=rate, seed=seed, loss="cross_entropy", target=y)
    if not case.has_multiplier:
        model.multiplier = 1.0
    if case.spoil is not None:
        case.spoil(model, groups, ratio)
    model.groups = groups
    return model, (x, y), "cross_entropy"


def batch_of(case: Case) -> tuple[Tensor, Tensor]:
    """Fixed random inputs and classes, the same at every width."""
    generator = torch.Generator().manual_seed(0)
    if case.kind is Transformer:
        return tuple(torch.randint(TOKENS, (8, LENGTH), generator=generator) for _ in range(2))
    return torch.randn(32, FEATURES, generator=generator), torch.randint(CLASSES, (32,), generator=generator)


def _undivided(_: nn.Module, groups: Groups, ratio: float) -> None:
    for group in groups:
        group["lr"] *= ratio if group["role"] == "hidden" else 1.0


def _divided(_: nn.Module, groups: Groups, ratio: float) -> None:
    for group in groups:
        group["lr"] /= ratio if group["role"] == "input" else 1.0


def _constant_deviation(model: nn.Module, _: Groups, ratio: float) -> None:
    with torch.no_grad():
        model.first.weight.mul_(ratio**0.5)
        model.second.weight.mul_(ratio**0.5)


CASES = (
    Case("perceptron, Adam", Perceptron, "adam", is_right=True),
    Case("perceptron, SGD", Perceptron, "sgd", is_right=True),
    Case("transformer, Adam", Transformer, "adam", is_right=True),
    Case("readout multiplier missing", Perceptron, "adam", has_multiplier=False),
    Case("attention by 1 / sqrt(d)", Transformer, "adam", options=(("power", 0.5),)),
    Case("tied readout without multiplier", Transformer, "adam", options=(("is_tied", True),), has_multiplier=False),
    Case("hidden learning rate not divided", Perceptron, "adam", spoil=_undivided),
    Case("hidden deviation constant", Perceptron, "adam", spoil=_constant_deviation),
    Case("input learning rate divided", Transformer, "adam", spoil=_divided),
)


def _print(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        kind = "right" if row["is_right"] else "mistake"
        word = "as it should be" if row["is_found"] else "WRONG"
        print(f"{row['case']:<34}{kind:<9}{word:<16}{row['seconds']:>6.1f} s  {row['sentence']}")
    right = [row for row in rows if row["is_right"]]
    print(
        f"\n{sum(row['is_found'] for row in rows if not row['is_right'])} of {len(rows) - len(right)} mistakes found, "
        f"{sum(not row['is_found'] for row in right)} alarms on {len(right)} right models"
    )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="narrower models, fewer seeds")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
