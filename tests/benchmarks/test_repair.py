"""The repair benchmark plants what it says, counts what trains worse, and misses no bar in its short mode."""

import math

import pytest
import torch

from benchmarks import repair
from benchmarks.repair import Row, Sound
from benchmarks.small import faults


@pytest.mark.parametrize("kind", faults.FAULTS)
def test_every_kind_is_planted_somewhere_and_changes_something(kind: str) -> None:
    found = [name for name in repair.NETS if faults.plant(repair.built(name, 0), kind, 0)]
    assert found
    sound, broken = repair.built(found[0], 0), repair.built(found[0], 0)
    faults.plant(broken, kind, 0)
    assert not all(map(torch.equal, sound.state_dict().values(), broken.state_dict().values()))


def test_where_a_fault_does_not_apply_nothing_is_written() -> None:
    model = repair.built("LSTM, rows", 0)
    assert faults.plant(model, "equal experts", 0) == ""
    assert all(map(torch.equal, repair.built("LSTM, rows", 0).state_dict().values(), model.state_dict().values()))


def test_there_are_two_hundred_different_cases_of_all_kinds() -> None:
    chosen = [case for case, _ in zip(repair.cases(), range(repair.COUNT), strict=False)]
    assert len(set(chosen)) == repair.COUNT
    assert {kind for _, kind, _ in chosen} == set(faults.FAULTS)


def test_the_margin_is_a_share_of_the_loss_or_the_spread_of_a_single_run() -> None:
    assert Sound((1.0, 1.0, 1.0)).margin == pytest.approx(0.2)
    spread = math.sqrt(1.0 + 1 / 3) * 3
    assert Sound((1.0, 2.0, 3.0)).margin == pytest.approx(spread)


def test_only_faults_that_train_worse_count() -> None:
    def row(faulty: float, mended: float) -> Row:
        return Row("net", "tiny", "0", 0, 1.0, 0.2, faulty, mended, ("SZ301",), "")

    done = repair.summary([row(1.1, 1.0), row(2.0, 1.1), row(math.inf, 2.0)], [])
    assert (done["counted"], done["mended"], done["meets_bars"]) == (2, 0.5, False)
    assert row(math.nan, 1.0).counts
    assert not row(2.0, math.nan).is_mended


@pytest.mark.slow
def test_short_mode_mends(capsys: pytest.CaptureFixture[str]) -> None:
    assert repair.main(["--short"]) == 0
    assert "mended: 100.0%" in capsys.readouterr().out
