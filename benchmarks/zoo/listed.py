"""Image classifiers by list, at their native input size: timm up to 30 million parameters, and torchvision.

``timm.csv`` and ``torchvision.csv`` hold name, family, parameters and input size, counted without memory (on meta);
``python -m benchmarks.zoo.listed`` writes them again, which takes some minutes.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from benchmarks.zoo.argued import BY_MODEL
from benchmarks.zoo.entry import Entry
from benchmarks.zoo.pictures import Classifier
from benchmarks.zoo.schemas import define_torchvision_schemas

LISTS = {library: Path(__file__).with_name(f"{library}.csv") for library in ("timm", "torchvision")}
COLUMNS = ("name", "family", "parameters", "size")
LARGEST = {"timm": 30_000_000, "torchvision": 90_000_000}
MOST = {"timm": 330, "torchvision": 100}
"""How many models are in the zoo: from each family its smallest, then its next smallest, and so on."""
BATCH, FEW, HEAVY = 4, 2, 1.0
"""Images in a batch, and in one of models whose estimate is above so many seconds."""

Row = dict[str, str]


def listed_models(library: str) -> list[Entry]:
    """Entries of the list of ``library``; every family is there."""
    with LISTS[library].open() as lines:
        rows = list(csv.DictReader(lines))
    return [_entry(library, row) for row in picked(rows, MOST[library])]


def picked(rows: Iterable[Row], most: int) -> list[Row]:
    """Take from each family in turn, the smallest first, until there are ``most``."""
    families: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["parameters"])):
        families[row["family"]].append(row)
    return list(_in_turn(list(families.values())))[:most]


def _in_turn(families: list[list[Row]]) -> Iterator[Row]:
    for place in range(max(map(len, families), default=0)):
        yield from (family[place] for family in families if place < len(family))


def _entry(library: str, row: Row) -> Entry:
    size, parameters = int(row["size"]), int(row["parameters"])
    seconds = round(0.2 + parameters * size**2 * 1e-12, 2)  # what sorts, not what it takes
    batch = FEW if seconds > HEAVY else BATCH
    return Entry(library, row["family"], row["name"], Classifier(library, row["name"], size, batch),
                 argued=BY_MODEL.get(row["name"], {}), is_light=True, seconds=seconds)  # fmt: skip


def main() -> int:
    """Count again and write both lists."""
    define_torchvision_schemas()
    for library, rows in (("timm", _timm()), ("torchvision", _torchvision())):
        kept = [row for row in rows if int(row["parameters"]) <= LARGEST[library]]
        with LISTS[library].open("w", newline="") as lines:
            table = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(sorted(kept, key=lambda row: row["name"]))
    return 0


def _timm() -> Iterator[Row]:
    import timm
    from timm.models import _registry

    for name in timm.list_models():
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False)
        size = model.pretrained_cfg["input_size"][-1]
        parameters = sum(parameter.numel() for parameter in model.parameters())
        yield _row(name, _registry._model_to_module[name], parameters, size)


def _torchvision() -> Iterator[Row]:
    from torchvision import models

    for name in models.list_models(module=models):
        weights = models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
        family = models.get_model_builder(name).__module__.rpartition(".")[2]
        yield _row(name, family, weights.meta["num_params"], weights.transforms().crop_size[0])


def _row(name: str, family: str, parameters: int, size: int) -> Row:
    return {"name": name, "family": family, "parameters": str(parameters), "size": str(size)}


if __name__ == "__main__":
    sys.exit(main())
