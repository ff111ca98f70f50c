"""Peers are asked the same pairs, one that breaks is counted and stops nothing, and what was answered is kept."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers import __main__ as command
from benchmarks.peers import asking, checkers
from benchmarks.peers.pairs import Pair, of_faults, of_folder


def start(bias=0.0):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    with torch.no_grad():
        model[0].bias.fill_(bias)
    targets = torch.arange(32) % 4
    inputs = torch.linspace(-1, 1, 256).reshape(32, 8)
    return model, (inputs,), lambda output: F.cross_entropy(output, targets)


def test_a_bad_start_is_told_from_a_good_one():
    found = asking.answer("stepzero", "cases", Pair("dead", lambda: start(-50.0), start))
    assert (found.is_detected, found.is_alarmed, found.crash) == (True, False, "")


def test_anything_new_that_is_said_of_a_twin_is_an_alarm():
    found = asking.answer("stepzero", "faults", Pair("dead", lambda: start(-50.0), start, is_twin=True))
    assert found.is_alarmed


def test_a_checker_that_breaks_is_counted(monkeypatch):
    def breaks(make):
        raise RuntimeError("no such operation")

    monkeypatch.setitem(checkers.CHECKERS, "stepzero", breaks)
    found = asking.answer("stepzero", "cases", Pair("any", start, start))
    assert found.crash == "RuntimeError: no such operation"
    assert not found.is_detected


def test_every_kind_has_pairs_to_try_and_one_without_a_place_is_left_out():
    groups = list(of_faults())
    assert len(groups) > 70
    no_place = next(pair for group in groups for pair in group if pair.name == "equal experts, MLP, tanh")
    assert asking.answer("stepzero", "faults", no_place).crash.startswith("NoPlaceError")


@pytest.mark.slow
def test_answers_are_kept_and_not_asked_again(tmp_path, monkeypatch):
    folder, file = tmp_path / "pairs", tmp_path / "answers.jsonl"
    folder.mkdir()
    lines = "from tests.benchmarks.test_peers import start", "META = {'id': 'x1'}", "buggy = lambda: start(-50.0)"
    (folder / "x1_dead.py").write_text("\n".join((*lines, "fixed = start")))
    assert [pair.name for pair in of_folder(folder)] == ["x1"]
    for _ in range(2):
        assert asking.main(["stepzero", str(file), "--cases", str(folder)]) == 0
    (told,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert told["is_detected"]


def test_totals_count_by_source():
    answers = [
        {"source": "cases", "is_twin": False, "is_detected": True, "is_alarmed": False, "crash": "", "seconds": 1.0},
        {"source": "faults", "is_twin": True, "is_detected": True, "is_alarmed": True, "crash": "", "seconds": 3.0},
    ]
    table = command.totals(answers)
    assert (table["real bugs"]["detected"], table["harmless twins"]["alarms"]) == (1, 1)
    assert "planted faults" not in table
