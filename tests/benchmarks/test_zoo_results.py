"""Verdicts survive a file; the table keeps what is loud in full and counts the rest; lists take every family."""

import json

from benchmarks.zoo import results
from benchmarks.zoo.judge import Idiom, Said, Verdict
from benchmarks.zoo.listed import LISTS, listed_models, picked

LOUD = Said("SZ501", "warning", ["head.weight", "b", "c"], "loud", None, "unit embeddings")
ERROR = Said("SZ402", "error", ["a"], "stuck", None)
NOTE = Said("SZ603", "info", ["k.bias"], "redundant", None)
RAN = Verdict("x/ran", "vit", 10, findings=[LOUD, NOTE, NOTE], accepted=[Idiom("tied weights", 2, ["a"], "one")],
              check_seconds=6.0, step_seconds=2.0)  # fmt: skip
BAD = Verdict("x/bad", "vit", 10, findings=[ERROR], check_seconds=1.0, step_seconds=1.0)
LATE = Verdict("x/late", "vit", late="no answer")


def test_a_run_goes_on_from_its_lines(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert results.read(path) == {}
    for verdict in (RAN, BAD, RAN):
        results.append(path, verdict)
    assert results.read(path) == {"x/ran": RAN, "x/bad": BAD}


def test_the_table_is_one_line_a_model():
    text = results.document([RAN, BAD, LATE], 0)
    table = json.loads(text)
    assert sum(line.startswith('  {"key"') for line in text.splitlines()) == 3
    first = table["models"][0]
    assert first["said"] == [{"code": "SZ501", "severity": "warning", "where": ["head.weight", "b", "..."],
                              "message": "loud", "argued": "unit embeddings"}]  # fmt: skip
    assert first["notes"] == {"SZ603": 2}
    assert first["accepted"] == {"tied weights": 2}
    assert first["ratio"] == 3.0
    assert "crash" not in first


def test_totals_leave_out_what_did_not_run_and_tell_what_is_argued():
    total = results.total([RAN, BAD, LATE])
    assert (total["models"], total["not run"]) == (2, 1)
    assert (total["with errors not argued"], total["with warnings"], total["with warnings not argued"]) == (1, 1, 0)
    assert not LATE.is_ok
    assert not BAD.is_ok
    assert RAN.is_ok


def test_each_family_gives_its_smallest_before_any_gives_a_second():
    rows = [
        {"name": name, "family": name[0], "parameters": name[1:], "size": "64"} for name in ("a3", "a1", "a2", "b9")
    ]
    assert [row["name"] for row in picked(rows, 3)] == ["a1", "b9", "a2"]


def test_the_lists_are_long():
    for library, least in (("timm", 300), ("torchvision", 50)):
        listed = listed_models(library)
        assert len(listed) >= least
        families = {line.split(",")[1] for line in LISTS[library].read_text().splitlines()[1:]}
        assert {entry.family for entry in listed} == families
