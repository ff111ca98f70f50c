"""The benchmark of the coordinate check plants what it says, and its short run tells right from wrong."""

import pytest
import torch

from benchmarks import coordinates
from benchmarks.coordinates import CASES

WIDTHS = (32, 64, 128)
BY_NAME = {case.name: case for case in CASES}


def test_three_right_models_and_six_mistakes():
    assert sum(case.is_right for case in CASES) == 3
    assert len(CASES) == 9


@pytest.mark.parametrize("name", BY_NAME)
def test_an_alarm_exactly_on_mistakes(name):
    row = coordinates.judged(BY_NAME[name], WIDTHS, 2)
    assert row["is_found"], row["sentence"]
    assert bool(row["alarms"]) != BY_NAME[name].is_right


def test_the_batch_is_the_same_at_every_width():
    for case in CASES:
        (a, _), (b, _) = (coordinates.started(case, width, 32)[1] for width in (32, 64))
        assert torch.equal(a, b)


def test_mistakes_are_nothing_at_the_base_width():
    for case in CASES:
        torch.random.manual_seed(0)
        model, _, _ = coordinates.started(case, 32, 32)
        assert {group["lr"] for group in model.groups} == {0.1 if case.optimizer == "sgd" else 2e-3}


def test_a_miss_fails_the_run(monkeypatch, capsys):
    def judge(case, widths, seeds):
        return {"case": case.name, "is_right": case.is_right, "is_found": case.is_right, "seconds": 0.0, "sentence": ""}

    monkeypatch.setattr(coordinates, "judged", judge)
    assert coordinates.main(["--short"]) == 1
    assert "0 of 6 mistakes found, 0 alarms on 3 right models" in capsys.readouterr().out
