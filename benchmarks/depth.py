"""What a check costs as a network gets deeper: seconds, and plain training steps, from 10 to 1,000 layers.

    python -m benchmarks.depth             10 to 1,000 layers
    python -m benchmarks.depth --short     10 to 100

Two healthy stacks of one width: residual blocks with a layer norm in front, and convolutions with batch norm and ReLU.
Processor time on one thread, the least of the repeats. A check takes more passes where the first one gives a reason,
and deep stacks do (what they return lies in few directions): growth is that of the time of a pass. Exit 1 when it grows
faster than depth to the power `BAR` over the deeper half, or anything louder than a note is said. A full run writes
``benchmarks/results/depth.json`` and the growth as ``depth.svg`` beside it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import stepzero
from benchmarks import chart, machine
from benchmarks.duplicates import exponent
from benchmarks.zoo.entry import CrossEntropy, plain_step
from benchmarks.zoo.meter import metered

RESULTS = Path(__file__).parent / "results" / "depth.json"
CHART = RESULTS.with_suffix(".svg")
BAR = 1.15
"""Exponent of the time of a check, by pass, in the number of layers: linear, and what a fit is uncertain by."""
DEPTHS = (10, 30, 100, 300, 1000)
WIDTH, BATCH, CLASSES = 32, 32, 10


class Block(nn.Module):
    """x + B relu(A norm(x)): two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.a, self.b = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width] to the same."""
        out: Tensor = x + self.b(torch.relu(self.a(self.norm(x))))
        return out


def residual(layers: int) -> tuple[nn.Module, Tensor]:
    """``layers`` linear layers in residual blocks, the last of each drawn for their number; [B, W]."""
    blocks = [Block(WIDTH) for _ in range(layers // 2)]
    for block in blocks:
        nn.init.normal_(block.b.weight, std=(WIDTH * len(blocks)) ** -0.5)
    return nn.Sequential(*blocks, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)), torch.randn(BATCH, WIDTH)


def convolutions(layers: int) -> tuple[nn.Module, Tensor]:
    """``layers`` convolutions of 3 x 3 with batch norm and ReLU, every second one in a residual sum; [8, 8, 8, 8]."""

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.norms[1](self.second(torch.relu(self.norms[0](self.first(x)))))
            return out

    pairs = [Pair() for _ in range(layers // 2)]
    return nn.Sequential(*pairs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)), torch.randn(8, 8, 8, 8)


STACKS: dict[str, Callable[[int], tuple[nn.Module, Tensor]]] = {"residual": residual, "convolutions": convolutions}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="10 to 100 layers")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    depths = DEPTHS[:3] if options.short else DEPTHS
    rows = [by_depth(stack, depths, options.repeats) for stack in STACKS]
    show(rows)
    if not options.short:
        document = {"machine": machine.describe(), "bar": BAR, "stacks": rows}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
        CHART.write_text(drawn(rows))
    return 1 if any(row["exponent_upper_half"] > BAR or any(row["said"]) for row in rows) else 0


def by_depth(stack: str, depths: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Seconds of a plain step and of a check at each depth, how much was said, and the exponent of the growth."""
    steps, checks, said, passes = [], [], [], []
    for layers in depths:
        torch.manual_seed(0)
        model, batch = STACKS[stack](layers)
        loss = CrossEntropy(torch.arange(len(batch)) % CLASSES)
        plain_step(model, batch, loss)
        steps.append(_least(lambda m=model, b=batch, f=loss: plain_step(m, b, f), repeats))
        checks.append(_least(lambda m=model, b=batch, f=loss: stepzero.check(m, b, f), repeats))
        with metered(model) as cost:
            report = stepzero.check(model, batch, loss)
        passes.append(cost.passes)
        said.append(sum(finding.severity != "info" for finding in report.findings))
    middle = (len(depths) - 1) // 2
    of_pass = [check / count for check, count in zip(checks, passes, strict=True)]
    return {
        "stack": stack, "layers": list(depths), "step_seconds": steps, "check_seconds": checks, "passes": passes,
        "said": said, "ratio": [check / step for check, step in zip(checks, steps, strict=True)],
        "exponent": exponent(depths, of_pass), "exponent_upper_half": exponent(depths[middle:], of_pass[middle:]),
    }  # fmt: skip


def _least(call: Callable[[], object], repeats: int) -> float:
    spent = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return max(min(spent), 1e-6)


def drawn(rows: list[dict[str, Any]]) -> str:
    """Milliseconds of checks and steps by depth, one line each."""
    lines = {
        f"{row['stack']}, {what}": [
            (layers, 1e3 * spent) for layers, spent in zip(row["layers"], row[f"{what}_seconds"], strict=True)
        ]
        for row in rows
        for what in ("check", "step")
    }
    return chart.log_log("A check as the network gets deeper", "layers", "ms", lines)


def show(rows: list[dict[str, Any]]) -> None:
    """One line a stack and depth."""
    print(f"{'stack':<14}{'layers':>7}{'step ms':>10}{'check ms':>10}{'ratio':>7}{'passes':>8}  said")
    for row in rows:
        for place, layers in enumerate(row["layers"]):
            step, check = 1e3 * row["step_seconds"][place], 1e3 * row["check_seconds"][place]
            numbers = f"{layers:>7}{step:>10.1f}{check:>10.1f}{check / step:>7.1f}{row['passes'][place]:>8}"
            print(f"{row['stack']:<14}{numbers}  {row['said'][place]}")
        print(f"{'':<14}exponent {row['exponent']:.2f}, deeper half {row['exponent_upper_half']:.2f} (bar {BAR})")


if __name__ == "__main__":
    sys.exit(main())
