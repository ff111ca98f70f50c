"""The benchmark of fans: its oracle, its sampling, and that it can fail."""

from typing import Any

import pytest
import torch

from benchmarks import fans

QUICK = ("Linear", "Conv2d, stride 2", "ConvTranspose2d, 4 groups", "EmbeddingBag, mean", "GRU, hidden", "Bilinear")


def test_enough_kinds() -> None:
    assert len(fans.KINDS) >= 14


@pytest.mark.parametrize("name", fans.KINDS)
def test_fans_of_every_kind_are_exact(name: str) -> None:
    kind = fans.KINDS[name]
    model = kind.build()
    ours = fans.traced_fans(model, kind)
    for fan, exact in zip(ours, fans.oracle(model.double(), kind), strict=True):
        assert exact is None or fan == pytest.approx(exact, rel=1e-6)


def test_a_short_run_ends_well_and_prints_a_row_a_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert fans.main(["--short", *QUICK]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in QUICK)
    assert f"{len(QUICK)} kinds; right: ours {len(QUICK)}, torch's fans 2" in printed


@pytest.mark.parametrize("side", [0, 1])
def test_a_wrong_fan_is_seen_by_both_judges(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    true = fans.traced_fans

    def wrong(*arguments: Any) -> tuple[float, ...]:
        return tuple(float(fan or 0) * (1.2 if index == side else 1) for index, fan in enumerate(true(*arguments)))

    monkeypatch.setattr(fans, "traced_fans", wrong)
    row = fans.measure("Linear", 200)
    assert not row["is_right"]
    assert abs(row[("forward", "backward")[side]]["mean"] - 1) > fans.BAR
    exact = row | {"fan_in": row["exact"][0], "fan_out": row["exact"][1]}
    assert not fans.is_right(exact), "the sampled moments alone"
    assert fans.main(["--short", "Linear"]) == 1


def test_the_error_that_ends_a_mean_is_that_of_the_seeds() -> None:
    kind = fans.KINDS["Linear"]
    few = fans.sampled(kind.build().double(), kind, fans.lecun(48.0, 20.0, "in"), 40)
    assert few["seeds"] >= fans.SEEDS[0]
    assert 3 * few["error"] < fans.BAR / 2 or few["seeds"] == 40


def test_token_ids_are_distinct_within_a_bag() -> None:
    ids = fans.draw_input(fans.KINDS["EmbeddingBag, sum"], torch.Generator().manual_seed(0), torch.float64)
    assert all(row.unique().numel() == row.numel() for row in ids)
