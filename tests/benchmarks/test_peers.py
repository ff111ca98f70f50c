"""Peers are asked the same pairs, one that breaks is counted and stops nothing, and what was answered is kept."""

import contextlib
import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers import __main__ as command
from benchmarks.peers import asking, checkers
from benchmarks.peers.pairs import TRIALS, Pair, of_faults, of_folder


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


def breaks(make):
    raise RuntimeError("no such operation in /home/someone/ops.py")


def is_dead(make):
    return {("dead", "0")} if make()[0][0].bias.min() < -1 else set()


def test_a_checker_that_breaks_is_counted_without_folders(monkeypatch):
    monkeypatch.setitem(checkers.CHECKERS, "stepzero", (breaks,))
    found = asking.answer("stepzero", "cases", Pair("any", start, start))
    assert found.crash == "RuntimeError: no such operation in ops.py"
    assert not found.is_detected


def test_what_the_other_parts_say_counts_when_one_breaks(monkeypatch):
    monkeypatch.setitem(checkers.CHECKERS, "stepzero", (breaks, is_dead))
    found = asking.answer("stepzero", "cases", Pair("any", lambda: start(-50.0), start))
    assert found.is_detected
    assert found.new == ["dead"]
    assert found.crash


def test_a_part_that_breaks_on_the_good_start_has_nothing_new_to_say_of_the_bad_one(monkeypatch):
    monkeypatch.setitem(checkers.CHECKERS, "stepzero", (lambda make: is_dead(make) or breaks(make),))
    found = asking.answer("stepzero", "cases", Pair("any", lambda: start(-50.0), start))
    assert (found.is_detected, found.crash != "") == (False, True)


def test_a_checker_that_finds_no_end_is_stopped(monkeypatch):
    def endless(make):
        while True:
            with contextlib.suppress(Exception):
                make()

    monkeypatch.setitem(checkers.CHECKERS, "stepzero", (endless,))
    monkeypatch.setattr(asking, "LIMIT", 0.3)
    found = asking.answer("stepzero", "cases", Pair("any", start, start))
    assert "processor time" in found.crash
    assert found.seconds < 5


def test_planted_faults_are_those_that_hurt_and_the_twins_do_not():
    pairs = list(of_faults())
    assert len({pair.name for pair in pairs}) == len(pairs) > 100
    trials = {f"{each['kind']}, {each['net']}, {each['seed']}": each for each in recorded()}
    assert all(pair.is_twin or trials[pair.name]["hurts"] for pair in pairs)
    dead = next(pair for pair in pairs if pair.name.startswith("all zero, "))
    assert not any(value.any() for value in dead.bad()[0].parameters())
    assert any(value.any() for value in dead.good()[0].parameters())


def test_planting_is_not_seen_as_building():
    twin = next(pair for pair in of_faults() if pair.name.startswith("mirrored rows, MLP"))
    found = asking.answer("stepzero", "faults", twin)
    assert (found.is_alarmed, found.new, found.crash) == (False, [], "")


def recorded():
    return json.loads(TRIALS.read_text())["held"]["trials"]


def test_each_checker_says_what_it_is_built_for():
    assert set(checkers.SCOPE) == set(checkers.CHECKERS)


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
    assert "detected" not in table["harmless twins"]
