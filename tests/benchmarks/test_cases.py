"""The scorer of real bugs: what counts as detected, located, a false alarm and a crash."""

import json

import pytest
import torch
from torch import nn

from benchmarks.cases import Said, Score, main, named_places, score_apart, totals

DEAD = """
import torch
from torch import nn

META = dict(id="z01", expected_where="2.bias (all units)", expected_kind="dead-relu", severity="error")

def _make(bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    nn.init.constant_(model[2].bias, bias)
    return model, (torch.randn(64, 32),), lambda output: nn.functional.cross_entropy(output, torch.arange(64) % 4)

def buggy(): return _make(-9.0)
def fixed(): return _make(0.0)
"""
DYING = """
import os
META = dict(id="y01", expected_where="-", expected_kind="none")
def buggy(): os._exit(3)
def fixed(): os._exit(3)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "z01_dead.py").write_text(DEAD)
    (tmp_path / "y01_dying.py").write_text(DYING)
    return tmp_path


def test_a_bug_is_detected_located_and_its_repair_is_silent(folder):
    found = score_apart(folder / "z01_dead.py")
    assert (found.crash, found.group, found.kind, found.severity) == ("", "z", "dead-relu", "error")
    assert found.places == ["2.bias"]
    assert (found.detected, found.located, found.false_alarm, found.warned) == (True, True, False, False)


def test_a_case_that_kills_its_process_is_counted_and_the_others_go_on(folder, capsys):
    assert main([str(folder), "--json", str(folder / "out" / "cases.json")]) == 1
    said = json.loads((folder / "out" / "cases.json").read_text())
    assert said["totals"]["all"] | {"recall": None} == said["totals"]["all"] | {"crashes": 1, "recall": None}
    assert said["totals"]["group z"]["recall"] == 1.0
    assert [case["id"] for case in said["cases"]] == ["y01_dying", "z01"]
    assert "CRASH the process died with exit code 3" in capsys.readouterr().out


def says(severity, *where, code="SZ305"):
    return Said(code, severity, list(where), "")


@pytest.mark.parametrize(
    ("buggy", "fixed", "detected"),
    [
        ([says("warning", "a")], [], True),
        ([says("info", "a")], [], False),
        ([says("warning", "a")], [says("warning", "a")], False),
        ([says("error", "a")], [says("warning", "a")], True),
        ([says("warning", "a")], [says("error", "a")], False),
        ([says("warning", "a")], [says("warning", "b")], True),
        ([says("warning", "a")], [says("info", "a")], True),
    ],
)
def test_only_what_the_repair_does_not_draw_as_loudly_counts(buggy, fixed, detected):
    assert Score("a1", "a1.py", buggy=buggy, fixed=fixed).detected is detected


@pytest.mark.parametrize(
    ("where", "located"), [("a.b", True), ("a.b.weight", True), ("a", True), ("a.bc", False), ("c", False)]
)
def test_the_same_path_one_inside_or_one_around_is_the_place(where, located):
    assert Score("a1", "a1.py", places=["a.b"], buggy=[says("error", where)]).located is located


def test_nothing_named_is_not_scored():
    scores = [Score("a1", "a1.py", buggy=[says("error", "x")]), Score("a2", "a2.py", places=["x"])]
    assert [one.located for one in scores] == [None, False]
    assert (totals(scores)["placed"], totals(scores)["located"], totals(scores)["recall"]) == (1, 0, 0.5)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.ModuleDict({"q": nn.Linear(2, 2), "v": nn.Linear(2, 2)})


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("-", []),
        ("every layer", []),
        ("0.attn.q.weight, 1.attn.q.weight", ["0.attn.q.weight", "1.attn.q.weight"]),
        ("*.q.weight", ["0.attn.q.weight", "1.attn.q.weight"]),
        ("q.bias of each block", ["0.attn.q.bias", "1.attn.q.bias"]),
        ("1.attn.v.weight/bias", ["1.attn.v.weight", "1.attn.v.bias"]),
        ("net.1.attn.v.bias", ["1.attn.v.bias"]),
        ("0.attn.q.weight rows 0..1", ["0.attn.q.weight"]),
        ("0 == 1", ["0", "1"]),
    ],
)
def test_places_are_read_out_of_free_text(text, places):
    assert named_places(text, nn.Sequential(Block(), Block())) == places


def test_places_do_not_depend_on_values():
    torch.manual_seed(1)
    assert named_places("weight", nn.Linear(2, 2)) == ["weight"]
