"""Finds out which model types of transformers build and take a step when cut down, and writes ``kinds.csv``.

python -m benchmarks.zoo.survey              all types
python -m benchmarks.zoo.survey bert llama   these only; prints why a type does not run
"""

import argparse
import csv
import multiprocessing
import sys
import time
import warnings
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.zoo import heads
from benchmarks.zoo.entry import plain_loss, plain_step, seed_everything
from benchmarks.zoo.kinds import LIST, Kind
from benchmarks.zoo.warm import warm_up

PATIENCE = 20.0
"""Seconds for building and two steps."""
LARGEST = 40_000_000
"""Parameters of a model at its published width."""
COLUMNS = ("type", "model", "feed", "width", "parameters", "seconds")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*")
    parser.add_argument("--output", type=Path, default=LIST)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warm_up()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    rows = _rows(options.types or CONFIG_MAPPING_NAMES)
    if options.types:
        print(*rows, sep="\n")
        return 0
    with options.output.open("w", newline="") as lines:
        table = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow(row)
            lines.flush()
    return 0


def _rows(types: Iterable[str]) -> Any:
    for kind in types:
        for is_wide in (False, True):
            for model, feed in heads.heads_of(kind):
                row = _apart(Kind(kind, model, feed, is_wide))
                if isinstance(row, dict):
                    yield row
                    break
                print(f"{kind} {model} {feed}{' wide' * is_wide}: {row}", file=sys.stderr, flush=True)


def _apart(kind: Kind) -> dict[str, Any] | str:
    """The row of ``kind``, or why it does not run."""
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_try, args=(sender, kind))
    child.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(PATIENCE) else "too slow"
    except EOFError:
        return "died"
    finally:
        child.kill()
        child.join()


def _try(sender: Connection, kind: Kind) -> None:
    warnings.simplefilter("ignore")
    try:
        sender.send(_measured(kind))
    except Exception as error:  # noqa: BLE001  whatever keeps it from running, it is not in the zoo
        sender.send(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200])


def _measured(kind: Kind) -> dict[str, Any]:
    import transformers

    with torch.device("meta"):
        sized = getattr(transformers, kind.model)(kind.config())
    size = sum(parameter.numel() for parameter in sized.parameters())
    if size > LARGEST:
        raise ValueError(f"{size} parameters")
    seed_everything(0)
    model, batch, loss = kind(torch.Generator().manual_seed(1))
    if not plain_loss(model, batch, loss).isfinite():
        raise ValueError("the loss is not finite")
    start = time.process_time()
    plain_step(model, batch, loss)
    return dict(
        zip(COLUMNS, (kind.model_type, kind.model, kind.feed, "published" if kind.is_wide else "64",
                      sum(parameter.numel() for parameter in model.parameters()),
                      round(time.process_time() - start, 3)), strict=True)
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
