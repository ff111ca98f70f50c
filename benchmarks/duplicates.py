"""What the search for equal rows costs: per projection against one sum of the same weight, and as the width grows.

    python -m benchmarks.duplicates             4096 x 4096; widths 256 to 8192
    python -m benchmarks.duplicates --short     1024 x 1024; widths 256 to 2048

Three contents, since the work differs: no two rows equal, every row twice, all rows equal (a constant layer). Processor
time on one thread, median of the repeats. Exit 1 when a group is missed or invented, or when the full run's search
costs more than `BAR` sums of the weight for each projection. A full run writes ``benchmarks/results/duplicates.json``
and the growth as ``duplicates.svg`` beside it.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import chart, machine
from stepzero.measure.redundancy import PROJECTIONS, twin_groups

RESULTS = Path(__file__).parent / "results" / "duplicates.json"
CHART = RESULTS.with_suffix(".svg")
BAR = 3.0
"""Sums of the same weight that a projection may cost, verification included."""
INPUTS = 1024
"""Columns of the weights whose number of rows grows."""
WIDTHS = (256, 512, 1024, 2048, 4096, 8192)

CONTENTS: dict[str, Callable[[int, int], Tensor]] = {
    "distinct": lambda rows, columns: torch.randn(rows, columns, generator=_seeded()),
    "in pairs": lambda rows, columns: torch.randn(rows // 2, columns, generator=_seeded()).repeat(2, 1),
    "constant": lambda rows, columns: torch.full((rows, columns), 0.1),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    side, widths = (1024, WIDTHS[:4]) if options.short else (4096, WIDTHS)
    squares = [against_sum(content, side, options.repeats) for content in CONTENTS]
    growth = [by_width(content, widths, options.repeats) for content in CONTENTS]
    _print(squares, growth)
    if not options.short:
        document = {"machine": machine.describe(), "projections": PROJECTIONS, "squares": squares, "growth": growth}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
        CHART.write_text(drawn(growth))
    is_dear = not options.short and any(row["ratio_per_projection"] > BAR for row in squares)
    return 1 if is_dear or not all(row["is_right"] for row in (*squares, *growth)) else 0


def against_sum(content: str, side: int, repeats: int) -> dict[str, Any]:
    """Seconds of the search in a square weight, and its ratio per projection to the sum of the weight."""
    weight = CONTENTS[content](side, side)
    search, total = seconds(lambda: twin_groups(weight), repeats), seconds(weight.sum, repeats)
    return {
        "content": content, "side": side, "search_seconds": search, "sum_seconds": total,
        "ratio": search / total, "ratio_per_projection": search / total / PROJECTIONS,
        "is_right": _is_right(content, weight),
    }  # fmt: skip


def by_width(content: str, widths: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Seconds at each number of rows, and the exponent of their growth."""
    weights = [CONTENTS[content](width, INPUTS) for width in widths]
    spent = [seconds(lambda weight=weight: twin_groups(weight), repeats) for weight in weights]
    return {
        "content": content, "widths": list(widths), "seconds": spent, "exponent": exponent(widths, spent),
        "exponent_upper_half": exponent(widths[len(widths) // 2 - 1 :], spent[len(widths) // 2 - 1 :]),
        "is_right": all(_is_right(content, weight) for weight in weights),
    }  # fmt: skip


def drawn(growth: list[dict[str, Any]]) -> str:
    """The growth with the width, one line a content."""
    lines = {
        row["content"]: [(width, 1e3 * spent) for width, spent in zip(row["widths"], row["seconds"], strict=True)]
        for row in growth
    }
    return chart.log_log("Search for equal rows", f"units, of {INPUTS} inputs each", "ms", lines)


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median processor time of one call, after one that warms up."""
    call()
    spent = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def exponent(sizes: tuple[int, ...], spent: list[float]) -> float:
    """Slope of log time over log size, least squares."""
    xs, ys = [math.log(size) for size in sizes], [math.log(max(value, 1e-9)) for value in spent]
    return statistics.linear_regression(xs, ys).slope


def _is_right(content: str, weight: Tensor) -> bool:
    rows = len(weight)
    expected: dict[str, list[list[int]]] = {
        "distinct": [],
        "in pairs": [[row, row + rows // 2] for row in range(rows // 2)],
        "constant": [list(range(rows))],
    }
    return sorted(twin_groups(weight)) == expected[content]


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _print(squares: list[dict[str, Any]], growth: list[dict[str, Any]]) -> None:
    print(f"{'rows':<10}{'weight':>12}{'search ms':>11}{'sum ms':>9}{'ratio':>8}{'per projection':>16}  groups")
    for row in squares:
        shape = f"{row['side']} x {row['side']}"
        times = f"{1e3 * row['search_seconds']:>11.1f}{1e3 * row['sum_seconds']:>9.2f}{row['ratio']:>8.1f}"
        print(f"{row['content']:<10}{shape:>12}{times}{row['ratio_per_projection']:>16.2f}  {_word(row)}")
    print(f"\nms by width, {INPUTS} inputs a unit, with the exponent over all widths and over the larger half")
    print(f"{'rows':<10}" + "".join(f"{width:>9}" for width in growth[0]["widths"]) + f"{'exponent':>10}{'larger':>8}")
    for row in growth:
        times = "".join(f"{1e3 * value:>9.1f}" for value in row["seconds"])
        print(f"{row['content']:<10}{times}{row['exponent']:>10.2f}{row['exponent_upper_half']:>8.2f}  {_word(row)}")


def _word(row: dict[str, Any]) -> str:
    return "right" if row["is_right"] else "WRONG"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="smaller weights")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
