"""The calibration benchmark measures what it says: the judge, the counts and the bars."""

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import calibrate
from benchmarks.cost.layered import layers_of, mlp


@pytest.mark.parametrize(("method", "forwards"), [(calibrate.ours, 1), (calibrate.ours_verified, 2)])
def test_ours_is_counted_and_judged(method: Any, forwards: int) -> None:
    model, batch, _ = mlp(5, 16)
    before = calibrate.worst_error(model, batch)
    seen = calibrate._once(method, model, batch)
    assert seen["forwards"] == forwards
    assert seen["error"] < 1e-5 < before


def test_the_judge_finds_the_worst_layer() -> None:
    model, batch, _ = mlp(3, 16)
    calibrate.ours(model, batch)
    with torch.no_grad():
        model[4].weight.mul_(3)
        model[4].bias.mul_(3)
    assert calibrate.worst_error(model, batch) == pytest.approx(2.0, abs=1e-4)


def test_both_sides_are_given_the_same_layers() -> None:
    model, _, _ = mlp(4, 16)
    assert list(calibrate.targets_of(model)) == [f"{place}.weight" for place in (0, 2, 4, 6)]
    assert list(layers_of(nn.Conv2d(1, 1, 1))) == [""]
    assert list(calibrate.targets_of(nn.Conv2d(1, 1, 1))) == ["weight"]


def test_a_missing_peer_is_not_run_and_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "lsuv_method", lambda: None)
    monkeypatch.setitem(calibrate.SUBJECTS, "mlp-21", lambda: mlp(3, 16))
    row = calibrate.compared("mlp-21", 1)
    assert row["lsuv"] == calibrate.NOT_RUN
    assert set(calibrate.judged([row])) == {"forwards", "error"}


def row(ratio: float, verified: float, forwards: int = 2, error: float = 1e-6) -> dict[str, Any]:
    mine = {"forwards": forwards, "error": error}
    return {"ours": mine, "ours verified": mine, "lsuv": {}, "ratio": ratio, "ratio verified": verified}


@pytest.mark.parametrize(
    ("rows", "missed"),
    [
        ([row(31, 26), row(31, 26), row(9, 5)], set()),
        ([row(29, 26)] * 3, {"median ratio"}),
        ([row(31, 24)] * 3, {"median ratio verified"}),
        ([row(31, 26), row(31, 26), row(7, 26)], {"worst ratio"}),
        ([row(31, 26, forwards=3)], {"forwards"}),
        ([row(31, 26, error=0.02)], {"error"}),
    ],
)
def test_a_missed_bar_is_seen(rows: list[dict[str, Any]], missed: set[str]) -> None:
    assert {name for name, (_, met) in calibrate.judged(rows).items() if not met} == missed


def test_lsuv_rescales_the_embedding_with_a_tied_head() -> None:
    """What the note on GPT-2 says of lsuv 0.3.0, and why the head is left out there."""
    lsuv = pytest.importorskip("lsuv")

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(20, 16), nn.Linear(16, 20, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(tokens))

    model = Tied()
    before = model.embed.weight.detach().clone()
    lsuv.lsuv_with_singlebatch(model, torch.arange(20)[None], do_orthonorm=False, verbose=False)
    assert not torch.equal(model.embed.weight, before)
