"""One pass against many: our calibration beside that of the lsuv package, same weights, same batch, one thread.

    python -m benchmarks.calibrate             six models, 5 interleaved rounds (25 of the MLPs)
    python -m benchmarks.calibrate --short     the two MLPs and ResNet-18, 3 rounds
    python -m benchmarks.calibrate mlp-21      only some models

lsuv 0.3.0 runs with ``do_orthonorm=False`` and its own tolerance of 0.1, at which it stops: read its error with that
in mind. Eval mode on both sides; neither keeps a copy of the old weights. Both calibrate the same weights, those of
linear layers and convolutions. Ours runs twice a round, with and without the pass that verifies it. The judge is a
forward hook that knows neither side: worst |std - 1| over the outputs of these layers. Forwards are counted by a hook
on the root. Times are processor times; a ratio is lsuv's median over ours.

The bars: at most 2 forwards with the verifying one; over the models a median ratio of at least 30 for the calibrating
pass and 25 with the verifying one, at least 8 for the calibrating pass in the worst model; our worst |std - 1| at
most 0.01. Exit 1 when one is missed.
A full run writes ``benchmarks/results/calibrate.json``. Without lsuv its column reads "not run", and only forwards
and errors are judged.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import machine
from benchmarks.cost.layered import SUBJECTS, layers_of
from stepzero.repair.calibrate import Target, calibrate, calibrate_, write

RESULTS = Path(__file__).parent / "results" / "calibrate.json"
BARS = {"forwards": 2, "median ratio": 30.0, "median ratio verified": 25.0, "worst ratio": 8.0, "error": 0.01}
SHORT = ("mlp-21", "mlp-101", "resnet-18")
LSUV_ONCE = frozenset(["resnet-50", "gpt2-small"])
"""Models on which lsuv takes so long that it runs in one round only."""
SMALL, TIMES = frozenset(["mlp-21", "mlp-101"]), 5
"""Models whose rounds are milliseconds, so that five times as many are taken."""
NOT_RUN = "not run"

Method = Callable[[nn.Module, Tensor], object]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    rounds = 3 if options.short else options.rounds
    names = options.subjects or (SHORT if options.short else list(SUBJECTS))
    rows = {name: compared(name, rounds) for name in names}
    verdict = judged(list(rows.values()))
    _print(rows, verdict)
    if not options.short and not options.subjects:
        document = {"machine": machine.describe(), "bars": BARS, "verdict": verdict, "models": rows}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(met for _, met in verdict.values()) else 1


def ours(model: nn.Module, batch: Tensor) -> object:
    """One pass; every weight of a layer is asked for an output of standard deviation 1."""
    found = calibrate(model, lambda: model(batch), targets_of(model), norm_mode="eval")
    write(model, found.factors)
    return found


def ours_verified(model: nn.Module, batch: Tensor) -> object:
    """The same, and a second pass that measures what came of it."""
    return calibrate_(model, lambda: model(batch), targets_of(model), norm_mode="eval")


def targets_of(model: nn.Module) -> dict[str, Target]:
    """The weights that lsuv calibrates, so that both do the same work."""
    return {f"{name}.weight" if name else "weight": Target() for name in layers_of(model)}


def plain(model: nn.Module, batch: Tensor) -> object:
    """A forward pass and nothing else."""
    with torch.no_grad():
        return model(batch)


def lsuv_method() -> Method | None:
    """Their calibration without the orthogonal draw, or None when the package is missing."""
    try:
        package = importlib.import_module("lsuv")
    except ImportError:
        return None
    return lambda model, batch: package.lsuv_with_singlebatch(model, batch, do_orthonorm=False, verbose=False)


def compared(subject: str, rounds: int) -> dict[str, Any]:
    """Every method on one model, in rounds whose order rotates; the weights are put back before each."""
    model, batch, note = SUBJECTS[subject]()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    methods: dict[str, Method] = {"ours": ours, "ours verified": ours_verified, "plain forward": plain}
    if (lsuv := lsuv_method()) is not None:
        methods["lsuv"] = lsuv
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for method in ("ours verified", "plain forward"):  # warm up
        methods[method](model, batch)
    for number in range(rounds * TIMES if subject in SMALL else rounds):
        for name in _rotated(list(methods), number):
            if name == "lsuv" and subject in LSUV_ONCE and number:
                continue
            model.load_state_dict(state)
            seen[name].append(_once(methods[name], model, batch))
    return _row(model, note, {name: _median(results) for name, results in seen.items()})


def _once(method: Method, model: nn.Module, batch: Tensor) -> dict[str, float]:
    """Processor seconds, forwards, and what the judge says afterwards."""
    calls: list[int] = []
    handle = model.register_forward_pre_hook(lambda *_: calls.append(1))
    began = time.process_time()
    method(model, batch)
    seconds = time.process_time() - began
    handle.remove()
    return {"seconds": seconds, "forwards": len(calls), "error": worst_error(model, batch)}


def worst_error(model: nn.Module, batch: Tensor) -> float:
    """Largest ``|std - 1|`` over the outputs of all layers, in float64, without Bessel's correction."""
    errors: list[float] = []

    def read(_: nn.Module, __: Any, output: Tensor) -> None:
        errors.append(abs(float(output.detach().double().std(correction=0)) - 1))

    handles = [module.register_forward_hook(read) for module in layers_of(model).values()]
    plain(model, batch)
    for handle in handles:
        handle.remove()
    assert len(errors) == len(handles), "a layer was not called, or more than once"
    return max(errors)


def judged(rows: list[dict[str, Any]]) -> dict[str, tuple[float | str, bool]]:
    """For each bar the number reached, and whether it meets the bar."""
    mine = [row[name] for row in rows for name in ("ours", "ours verified")]
    most, worst = max(each["forwards"] for each in mine), max(each["error"] for each in mine)
    verdict: dict[str, tuple[float | str, bool]] = {
        "forwards": (most, most <= BARS["forwards"]),
        "error": (worst, worst <= BARS["error"]),
    }
    without = [row["ratio"] for row in rows if row["lsuv"] != NOT_RUN]
    verified = [row["ratio verified"] for row in rows if row["lsuv"] != NOT_RUN]
    if not without:
        return verdict
    reached = {
        "median ratio": statistics.median(without),
        "median ratio verified": statistics.median(verified),
        "worst ratio": min(without),
    }
    return verdict | {name: (value, value >= BARS[name]) for name, value in reached.items()}


def _rotated(names: list[str], number: int) -> list[str]:
    start = number % len(names)
    return names[start:] + names[:start]


def _median(results: list[dict[str, float]]) -> dict[str, float]:
    seconds = [each["seconds"] for each in results]
    return {
        "seconds": statistics.median(seconds), "least": min(seconds), "most": max(seconds), "rounds": len(results),
        "forwards": max(each["forwards"] for each in results), "error": max(each["error"] for each in results),
    }  # fmt: skip


def _row(model: nn.Module, note: str, medians: dict[str, dict[str, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"layers": len(layers_of(model)), "note": note, "lsuv": NOT_RUN, **medians}
    if row["lsuv"] != NOT_RUN:
        theirs = row["lsuv"]["seconds"]
        row |= {"ratio": theirs / row["ours"]["seconds"], "ratio verified": theirs / row["ours verified"]["seconds"]}
    return row


def _print(rows: dict[str, dict[str, Any]], verdict: dict[str, tuple[float | str, bool]]) -> None:
    heads = ("layers", "plain ms", "ours ms", "verified", "lsuv ms", "ratio", "verified", "forwards", "lsuv's")
    print(f"{'model':<12}" + "".join(f"{head:>10}" for head in heads) + f"{'our error':>12}{'lsuv error':>12}")
    for name, row in rows.items():
        print(f"{name:<12}{row['layers']:>10}{_line(row)}" + (f"  {row['note']}" if row["note"] else ""))
    for name, (value, met) in verdict.items():
        print(f"{name:<24}{value:>12.3g}   bar {BARS[name]:g}   {'met' if met else 'MISSED'}")


def _line(row: dict[str, Any]) -> str:
    mine, verified, theirs = row["ours"], row["ours verified"], row["lsuv"]
    times = "".join(f"{1e3 * each['seconds']:>10.1f}" for each in (row["plain forward"], mine, verified))
    if theirs == NOT_RUN:
        return f"{times}{NOT_RUN:>10}{'':>20}{verified['forwards']:>10}{'':>10}{verified['error']:>12.1e}"
    ratios = f"{1e3 * theirs['seconds']:>10.1f}{row['ratio']:>10.1f}{row['ratio verified']:>10.1f}"
    counts = f"{verified['forwards']:>10}{theirs['forwards']:>10}"
    return f"{times}{ratios}{counts}{verified['error']:>12.1e}{theirs['error']:>12.3f}"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", help=f"of {', '.join(SUBJECTS)}; all when none is named")
    parser.add_argument("--short", action="store_true", help="three models, 3 rounds")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
