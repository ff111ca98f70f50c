"""Fans of every kind of layer: ours and torch's beside the exact ones, and the variance that each draw really gives.

    python -m benchmarks.fans            every kind; writes benchmarks/results/fans.json
    python -m benchmarks.fans --short    the same with fewer seeds; writes nothing

Ours: the fans that `stepzero.trace` reads from the operation, given to `lecun_` and `he_`. Torch's: what its own
initialisers take from the shape alone, and `kaiming_normal_`. The judge is neither: with ones in weight and input the
output *is* the fan-in and the gradient of its sum the fan-out (gated cells are read at their candidate, whose gates are
constant near zero, so that their fans are those of one gate); and drawn weights shall give outputs (by fan-in) and
gradients (by fan-out) of second moment 1 where the input or the arriving gradient has that. Means are over whole stride
periods away from padding, and over seeds until three standard errors are below half the bar of 5 %.

Exit code 1 when a fan of ours differs from the exact one or a second moment of ours misses the bar.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

import stepzero
from benchmarks import machine
from benchmarks.fan_kinds import KINDS, Kind
from stepzero import schemes

RESULTS = Path(__file__).parent / "results" / "fans.json"
BAR = 0.05
SEEDS = (16, 2_000)
"""Fewest and most seeds of one mean."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    most = 200 if options.short else SEEDS[1]
    rows = [measure(name, most) for name in options.kinds or KINDS]
    _print(rows)
    if not options.short and not options.kinds:
        document = {"machine": machine.describe(), "bar": BAR, "rows": rows, "summary": summary(rows)}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row["is_right"] for row in rows) else 1


def measure(name: str, most: int = SEEDS[1]) -> dict[str, Any]:
    """One row of the table: fans and second moments, ours and torch's, and whether ours are right."""
    kind = KINDS[name]
    model = kind.build()
    ours = traced_fans(model, kind)
    model = model.double()
    exact = oracle(model, kind)
    theirs = tuple(float(fan) for fan in nn.init._calculate_fan_in_and_fan_out(model.get_parameter(kind.parameter)))
    row: dict[str, Any] = {
        "kind": name, "shape": list(model.get_parameter(kind.parameter).shape), "fan_in": ours[0], "fan_out": ours[1],
        "exact": list(exact), "torch": list(theirs),
        "forward": sampled(model, kind, lecun(*ours, "in"), most),
        "torch_forward": sampled(model, kind, kaiming("fan_in"), most),
    }  # fmt: skip
    if not kind.tokens:
        if not kind.is_product:
            row["rectified"] = sampled(model, kind, he(*ours), most, is_rectified=True)
        row["backward"] = sampled(model, kind, lecun(*ours, "out"), most, is_backward=True)
        row["torch_backward"] = sampled(model, kind, kaiming("fan_out"), most, is_backward=True)
    return row | {"is_right": is_right(row), "is_torch_right": _agree(theirs, exact)}


def is_right(row: dict[str, Any]) -> bool:
    """Whether our fans are the exact ones and our second moments within the bar of 1."""
    moments = [row[key]["mean"] for key in ("forward", "rectified", "backward") if key in row]
    is_fan_right = _agree((row["fan_in"], row["fan_out"]), row["exact"])
    return is_fan_right and all(abs(moment - 1) <= BAR for moment in moments)


def summary(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many kinds each is right on."""
    return {
        "kinds": len(rows),
        "ours_right": sum(row["is_right"] for row in rows),
        "torch_fans_right": sum(row["is_torch_right"] for row in rows),
    }


def traced_fans(model: nn.Module, kind: Kind) -> tuple[float | None, float | None]:
    """(fan_in, fan_out) of the parameter as the Trace states them."""
    trace = stepzero.trace(model, draw_input(kind, Generator().manual_seed(0), torch.float32))
    for operation in trace.operations:
        for use in operation.uses:
            if use.parameter == kind.parameter and use.fan_in is not None:
                return use.fan_in, use.fan_out
    raise LookupError(f"{kind.parameter} enters no operation of the trace with a fan")


def oracle(model: nn.Module, kind: Kind) -> tuple[float, float | None]:
    """Exact (n, m): the output and the gradient of its sum, with ones in weight and input."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name == kind.parameter else 0.0)
    if kind.tokens:
        ids = draw_input(kind, Generator().manual_seed(0), torch.float64)
        return (float(kind.read(model, ids).detach().mean()) if kind.exact is None else kind.exact), None
    x = torch.ones(kind.shape, dtype=torch.float64, requires_grad=True)
    output = kind.read(model, x)
    (gradient,) = torch.autograd.grad(output.sum(), x)
    return float(_inner(output.detach(), kind).mean()), float(_inner(gradient, kind).mean())


Fill = Callable[[Tensor, Generator], object]


def lecun(fan_in: float | None, fan_out: float | None, mode: Any) -> Fill:
    """Ours for a linear layer."""
    return lambda weight, generator: schemes.lecun_(
        weight, generator=generator, fan_in=fan_in, fan_out=fan_out, mode=mode
    )


def he(fan_in: float | None, fan_out: float | None) -> Fill:
    """Ours behind a ReLU."""
    return lambda weight, generator: schemes.he_(weight, generator=generator, fan_in=fan_in, fan_out=fan_out)


def kaiming(mode: Any) -> Fill:
    """Torch's for a linear layer."""
    return lambda weight, generator: nn.init.kaiming_normal_(
        weight, mode=mode, nonlinearity="linear", generator=generator
    )


def sampled(
    model: nn.Module, kind: Kind, fill: Fill, most: int, *, is_rectified: bool = False, is_backward: bool = False
) -> dict[str, float]:
    """Second moment of the output, or of the gradient at the input, over seeds until its error is under the bar."""
    found: list[float] = []
    for moment in _moments(model, kind, fill, is_rectified=is_rectified, is_backward=is_backward):
        found.append(moment)
        if len(found) >= SEEDS[0]:
            mean, error = statistics.fmean(found), statistics.stdev(found) / math.sqrt(len(found))
            if 3 * error < BAR / 2 * mean or len(found) >= most:
                break
    return {"mean": mean, "error": error, "seeds": len(found)}


def _moments(model: nn.Module, kind: Kind, fill: Fill, *, is_rectified: bool, is_backward: bool) -> Iterator[float]:
    weight = model.get_parameter(kind.parameter)
    for seed in range(10**9):
        generator = Generator().manual_seed(seed)
        fill(weight, generator)
        x = draw_input(kind, generator, torch.float64)
        x = F.relu(x) if is_rectified else x
        if not is_backward:
            with torch.no_grad():  # left before the yield: a generator that waits inside would hold the mode
                moment = float(_inner(kind.read(model, x), kind).square().mean())
            yield moment
            continue
        output = kind.read(model, x.requires_grad_())
        cotangent = torch.randn(output.shape, generator=generator, dtype=output.dtype)
        (gradient,) = torch.autograd.grad(output, x, cotangent)
        yield float(_inner(gradient, kind).square().mean())


def draw_input(kind: Kind, generator: Generator, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers, or token ids, none twice in a row of the batch."""
    if not kind.tokens:
        return torch.randn(kind.shape, generator=generator, dtype=dtype)
    order = torch.rand(kind.shape[0], kind.tokens, generator=generator)
    return order.argsort(1)[:, : kind.shape[1]]


def _inner(tensor: Tensor, kind: Kind) -> Tensor:
    """Away from the borders, a whole number of stride periods."""
    for axis in range(2, tensor.dim() if kind.margin or kind.period > 1 else 0):
        length = (tensor.shape[axis] - 2 * kind.margin) // kind.period * kind.period
        tensor = tensor.narrow(axis, kind.margin, length)
    return tensor


def _agree(ours: tuple[float | None, float | None], exact: Any) -> bool:
    pairs = [(a, b) for a, b in zip(ours, exact, strict=True) if b is not None]
    return all(a is not None and math.isclose(a, b, rel_tol=1e-6) for a, b in pairs)


def _print(rows: list[dict[str, Any]]) -> None:
    print(f"{'':<27}{'fan-in':^24}{'fan-out':^24}{'forward':^18}{'ReLU':>7}{'backward':^18}")
    pair = f"{'ours':>9}{'torch':>9}"
    print(f"{'kind':<27}" + f"{'exact':>8}{'ours':>8}{'torch':>8}" * 2 + pair + f"{'ours':>7}" + pair)
    for row in rows:
        fans = [(row["exact"][i], row[name], row["torch"][i]) for i, name in enumerate(("fan_in", "fan_out"))]
        numbers = "".join(f"{_short(fan):>8}" for three in fans for fan in three)
        keys = (("forward", 9), ("torch_forward", 9), ("rectified", 7), ("backward", 9), ("torch_backward", 9))
        moments = "".join(f"{_short(row.get(key, {}).get('mean')):>{width}}" for key, width in keys)
        print(f"{row['kind']:<27}{numbers}{moments}  {'right' if row['is_right'] else 'WRONG'}")
    count = summary(rows)
    print(f"\n{count['kinds']} kinds; right: ours {count['ours_right']}, torch's fans {count['torch_fans_right']}")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if value < 10 else f"{value:.0f}"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="at most 200 seeds; writes nothing")
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND", help="only these; writes nothing")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
