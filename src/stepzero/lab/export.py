"""Writes a run's networks as CSV or Parquet."""

import csv
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepzero.core.errors import ConfigError

FORMATS = (".csv", ".parquet")


def export(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One line a row; the ending of ``path`` says the format."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: expected a name that ends in {' or '.join(FORMATS)}")
    if path.suffix == ".csv":
        _csv(rows, path)
    else:
        _parquet(rows, path)


def _csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as problem:
        raise ConfigError("Parquet needs pyarrow: pip install 'stepzero[parquet]'; .csv needs nothing") from problem
    parquet.write_table(arrow.Table.from_pylist([dict(row) for row in rows]), str(path))
