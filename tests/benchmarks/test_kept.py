"""An outcome is made once, and again when a source or the name changes, or on request."""

from pathlib import Path

import pytest

from benchmarks import kept


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "one.py").write_text("x = 1")
    return tmp_path / "code"


def test_an_outcome_is_made_once(source: Path) -> None:
    assert kept.outcome("a", [source], lambda: {"loss": 1.5, "by_rate": {"0.1": None}}) == {
        "loss": 1.5,
        "by_rate": {"0.1": None},
    }
    assert kept.outcome("a", [source], dict)["loss"] == 1.5


def test_another_name_another_source_and_fresh_make_it_again(source: Path) -> None:
    kept.outcome("a", [source], lambda: {"loss": 1})
    assert kept.outcome("b", [source], lambda: {"loss": 2}) == {"loss": 2}
    assert kept.outcome("a", [source], lambda: {"loss": 3}, fresh=True) == {"loss": 3}
    (source / "one.py").write_text("x = 2")
    assert kept.outcome("a", [source], lambda: {"loss": 4}) == {"loss": 4}
