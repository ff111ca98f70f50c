import csv
import sys

import pytest

from stepzero.core.errors import ConfigError
from stepzero.lab.export import export

ROWS = [{"key": "a", "loss": 0.25, "accuracy": None}, {"key": "b, c", "loss": 1e-9, "accuracy": 1.0}]


def test_csv_keeps_every_digit(tmp_path):
    export(ROWS, tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["key"], float(row["loss"]), row["accuracy"]) for row in found] == [
        ("a", 0.25, ""),
        ("b, c", 1e-9, "1.0"),
    ]


def test_parquet_keeps_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    export(ROWS, tmp_path / "x.parquet")
    assert parquet.read_table(tmp_path / "x.parquet").to_pylist() == ROWS


def test_without_arrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"stepzero\[parquet\]"):
        export(ROWS, tmp_path / "x.parquet")


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\.csv or \.parquet"):
        export(ROWS, tmp_path / "x.xlsx")
