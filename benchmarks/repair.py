"""What `fix_` is worth: networks with planted faults, trained as they are and mended, beside the sound ones.

    python -m benchmarks.repair             200 networks with a fault, 50 sound ones; minutes
    python -m benchmarks.repair --short     a handful
    python -m benchmarks.repair --kind NAME only faults of that kind

Every network is trained for 200 steps in three states: sound, with the fault, and mended by `check` and `fix_` without
unsafe fixes. A fault counts when its loss is worse than the sound ones' by more than the margin: 20 % of their mean, or
three standard deviations of a single run about it (over R seeds: sd * sqrt(1 + 1/R)), whichever is more. It is mended
when the loss is within that margin. `fix_` harms a sound network when its loss is worse, paired over seeds, by more
than one standard error of the sound ones. A full run writes ``benchmarks/results/repair.json``; exit 1 when a bar is
missed.
"""

import argparse
import copy
import functools
import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import stepzero as sz
from benchmarks import machine
from benchmarks.small import faults, nets, tasks, training

RESULTS = Path(__file__).parent / "results" / "repair.json"
COUNT, SOUND = 200, 50
MENDED_BAR = 0.9
SEEDS = 5
CHECKED = 64
"""Samples that the check sees."""
RELATIVE, DEVIATIONS = 0.2, 3.0


@dataclass(frozen=True)
class Net:
    """A network, what it learns and how."""

    build: Callable[[], nn.Module]
    task: str
    optimizer: str
    lr: float


NETS: dict[str, Net] = {
    "MLP, ReLU": Net(lambda: nets.plain(64, 3, "relu"), "digits", "momentum", 0.05),
    "MLP, tanh": Net(lambda: nets.plain(48, 3, "tanh"), "digits", "momentum", 0.05),
    "MLP, GELU": Net(lambda: nets.plain(64, 2, "gelu"), "digits", "adam", 3e-3),
    "conv, ReLU": Net(lambda: nets.convolutional(12), "digit images", "adam", 1e-2),
    "conv, batch norm": Net(lambda: nets.convolutional(12, normed=True), "digit images", "momentum", 0.05),
    "residual, no norm": Net(lambda: nets.he_(nets.residual(8, 1)), "digit images", "momentum", 0.02),
    "transformer, pre-norm": Net(lambda: nets.Transformer(16, norm_first=True), "strides", "adam", 3e-3),
    "transformer, post-norm": Net(lambda: nets.Transformer(16, norm_first=False), "strides", "adam", 3e-3),
    "LSTM, rows": Net(lambda: nets.Recurrent("lstm", 32, 8, 10), "digit rows", "adam", 1e-2),
    "GRU, rows": Net(lambda: nets.Recurrent("gru", 32, 8, 10), "digit rows", "adam", 1e-2),
    "LSTM, recall": Net(lambda: nets.Recurrent("lstm"), "recall", "adam", 1e-2),
    "GRU, recall": Net(lambda: nets.Recurrent("gru"), "recall", "adam", 1e-2),
    "gated blocks": Net(lambda: nets.gated(32, 2), "digits", "adam", 3e-3),
    "product": Net(lambda: nets.Product(48), "digits", "momentum", 0.1),
    "mixture of experts": Net(lambda: nets.Mixture(32), "digits", "adam", 1e-2),
}


@dataclass(frozen=True)
class Sound:
    """Losses of the sound networks of one kind, over seeds."""

    losses: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.losses)

    @property
    def margin(self) -> float:
        """How much worse one run has to be to be worse."""
        spread = statistics.stdev(self.losses) * math.sqrt(1 + 1 / len(self.losses))
        return max(RELATIVE * self.mean, DEVIATIONS * spread)

    @property
    def standard_error(self) -> float:
        return statistics.stdev(self.losses) / math.sqrt(len(self.losses))


@dataclass(frozen=True)
class Row:
    """One network with a fault."""

    net: str
    kind: str
    where: str
    seed: int
    sound: float
    margin: float
    faulty: float
    mended: float
    found: tuple[str, ...]
    said: str
    """Why it was not mended, when `fix_` refused."""

    @property
    def counts(self) -> bool:
        return not self.faulty <= self.sound + self.margin

    @property
    def is_mended(self) -> bool:
        return self.mended <= self.sound + self.margin


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 1 when a bar is missed."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    began = time.process_time()
    rows = [run(*case) for case in itertools.islice(cases(options.kind, options.net), 6 if options.short else COUNT)]
    harms = [] if options.kind or options.net else harmed(NETS, 3 if options.short else SOUND)
    document = summary(rows, harms)
    _print(document)
    if not options.short and not options.kind and not options.net:
        seconds = round(time.process_time() - began)
        listed = {"rows": [asdict(row) | {"counts": row.counts, "is_mended": row.is_mended} for row in rows]}
        document = {"machine": machine.describe(), "seconds": seconds, **document, "sound": harms, **listed}
        RESULTS.write_text(json.dumps(_finite(document), indent=1) + "\n")
    return 0 if document["meets_bars"] else 1


def cases(kind: str = "", net: str = "") -> Iterator[tuple[str, str, int]]:
    """(network, fault, seed), the kinds of faults in turn, each over the networks it applies to."""
    queues = [_applicable(each, net) for each in faults.FAULTS if kind in ("", each)]
    while queues:
        for queue in tuple(queues):
            if (case := next(queue, None)) is None:
                queues.remove(queue)
            else:
                yield case


def _applicable(kind: str, only: str) -> Iterator[tuple[str, str, int]]:
    names = [name for name in NETS if only in name and faults.plant(built(name, 0), kind, 0)]
    turn = list(faults.FAULTS).index(kind)
    for seed in range(SEEDS):
        for place in range(len(names)):
            yield names[(turn + place) % len(names)], kind, seed


def built(name: str, seed: int) -> nn.Module:
    """The sound network."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NETS[name].build()


@functools.cache
def sound(name: str) -> Sound:
    """What the network reaches when nothing is wrong."""
    return Sound(tuple(_trained(name, built(name, seed), seed) for seed in range(SEEDS)))


def run(name: str, kind: str, seed: int) -> Row:
    """Plant, train, mend, train again."""
    reference = sound(name)
    broken = built(name, seed)
    where = faults.plant(broken, kind, seed)
    healed = copy.deepcopy(broken)
    found, said = mend_(name, healed, seed)
    is_changed = not _equal(broken, healed)
    faulty = _trained(name, broken, seed)
    after = _trained(name, healed, seed) if is_changed else faulty
    row = Row(name, kind, where, seed, reference.mean, reference.margin, faulty, after, found, said)
    if row.counts and not row.is_mended:
        print(_missed(row), flush=True)
    return row


def mend_(name: str, model: nn.Module, seed: int) -> tuple[tuple[str, ...], str]:
    """`check` and `fix_` in place; what was found, and why nothing was done."""
    inputs, targets = tasks.get(NETS[name].task).batch(torch.Generator().manual_seed(1000 + seed), CHECKED)
    report = sz.check(model, inputs, training.loss_of, targets)
    found = tuple(finding.code for finding in report.findings if finding.severity in ("error", "warning"))
    try:
        sz.fix_(model, report, seed=seed)
    except sz.StepzeroError as error:
        return found, f"{type(error).__name__}: {error}"
    return found, ""


def harmed(names: Iterable[str], count: int) -> list[dict[str, Any]]:
    """Of sound networks: their losses with and without `fix_`, paired over seeds.

    A network whose bits `fix_` left alone trains as it did, so only the others are trained again.
    """
    listed = []
    for name, lap in itertools.islice(((name, lap) for lap in itertools.count() for name in names), count):
        seeds = range(SEEDS * lap, SEEDS * (lap + 1))
        before, after, changed = [], [], 0
        for seed in seeds:
            model = built(name, seed)
            mend_(name, model, seed)
            is_changed = not _equal(built(name, seed), model)
            before.append(_trained(name, built(name, seed), seed) if lap else sound(name).losses[seed])
            changed += is_changed
            after.append(_trained(name, model, seed) if is_changed else before[-1])
        error = statistics.stdev(before) / math.sqrt(len(before))
        worse = statistics.fmean(after) - statistics.fmean(before)
        listed.append({"net": name, "changed": changed, "sound": statistics.fmean(before), "worse": worse,
                       "standard_error": error, "is_harmed": not worse <= error})  # fmt: skip
    return listed


def _equal(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def _trained(name: str, model: nn.Module, seed: int) -> float:
    net = NETS[name]
    return training.train(model, tasks.get(net.task), net.optimizer, net.lr, seed=seed)


def summary(rows: list[Row], harms: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares by kind of fault, and whether the bars are met."""
    counted = [row for row in rows if row.counts]
    table = {
        kind: {
            "planted": sum(row.kind == kind for row in rows), "counted": len(these),
            "seen": sum(bool(row.found) for row in these), "mended": sum(row.is_mended for row in these),
        }
        for kind in faults.FAULTS if (these := [row for row in counted if row.kind == kind]) or True
    }  # fmt: skip
    share = sum(row.is_mended for row in counted) / max(1, len(counted))
    hurt = sum(row["is_harmed"] for row in harms)
    return {
        "planted": len(rows), "counted": len(counted), "mended": share, "mended_bar": MENDED_BAR,
        "sound_networks": len(harms), "harmed": hurt, "meets_bars": share >= MENDED_BAR and not hurt, "kinds": table,
    }  # fmt: skip


def _missed(row: Row) -> str:
    losses = f"{row.sound:.3g} +{row.margin:.2g}, {row.faulty:.3g} -> {row.mended:.3g}"
    return (
        f"not mended: {row.kind}, {row.net}, seed {row.seed}, {row.where}: {losses}; {' '.join(row.found)} {row.said}"
    )


def _print(document: dict[str, Any]) -> None:
    print(f"\n{'fault':<22}{'planted':>8}{'counted':>8}{'seen':>6}{'mended':>8}")
    for kind, row in document["kinds"].items():
        print(f"{kind:<22}{row['planted']:>8}{row['counted']:>8}{row['seen']:>6}{row['mended']:>8}")
    print(f"mended: {document['mended']:.1%} of {document['counted']} that train worse")
    print(f"sound networks harmed: {document['harmed']} of {document['sound_networks']}")


def _finite(value: Any) -> Any:
    """The same with infinite losses as null, which JSON knows."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a handful of networks")
    parser.add_argument("--kind", default="", choices=("", *faults.FAULTS), help="only this kind of fault")
    parser.add_argument("--net", default="", help="only networks whose name contains this")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
