"""What the zoo's table keeps of a report."""

from benchmarks.zoo import run
from benchmarks.zoo.judge import Idiom, Verdict, idioms
from stepzero.core.outcome import Accepted

BRANCHES = [Accepted("identity branch", (f"blocks.{number}.last.weight",), "adds 0") for number in range(3)]
TIE = Accepted("tied weights", ("wte.weight", "head.weight"), "one tensor")


def test_idioms_are_counted_by_kind_in_order():
    assert idioms([*BRANCHES, TIE]) == [
        Idiom("identity branch", 3, ["blocks.0.last.weight"], "adds 0"),
        Idiom("tied weights", 1, ["wte.weight", "head.weight"], "one tensor"),
    ]
    assert idioms([]) == []


def test_each_model_with_idioms_has_a_line_in_the_summary_and_an_entry_in_the_file(capsys):
    verdicts = [Verdict("a/b", "decoder", accepted=idioms([*BRANCHES, TIE])), Verdict("c/d", "decoder")]
    run._summary(verdicts)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "accepted" in line] == ["  a/b: accepted identity branch x 3, tied weights x 1"]
    rows = {row["key"]: row["accepted"] for row in run._document(verdicts, 0)["models"]}
    assert [entry["count"] for entry in rows["a/b"]] == [3, 1]
    assert rows["c/d"] == []
