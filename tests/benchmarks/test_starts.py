"""The benchmark of starts: rows are chosen by words, and the bars are what they say."""

from typing import Any

import pytest

from benchmarks import starts


def test_auto_is_best_within_the_standard_error_of_the_best() -> None:
    row: dict[str, dict[str, Any]] = {
        "he": {"loss": 1.0, "standard_error": 0.1},
        "lsuv": {"loss": None, "standard_error": 0.0},
        "metainit": {"not_run": "x"},
        "auto": {"loss": 1.09, "standard_error": 0.5},
    }
    assert starts.is_best(row)
    row["auto"]["loss"] = 1.11
    assert not starts.is_best(row)
    row["auto"]["loss"] = None
    assert not starts.is_best(row)


def test_a_part_of_a_name_ends_where_a_word_does() -> None:
    assert starts.chosen_rows("ReLU 5") == ["MLP ReLU 5"]
    assert starts.chosen_rows("tanh 50,post") == ["MLP tanh 50", "transformer, post-norm"]
    assert starts.chosen_rows("nothing") == []
    assert starts.chosen_rows("") == list(starts.ROWS)


def test_short_mode_runs_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lsuv", reason="a peer, not a dependency")
    starts.main(["--short"])
    said = capsys.readouterr().out
    assert all(method in said for method in starts.METHODS)
    assert "not run" not in said
