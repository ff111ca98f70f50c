"""What the zoo's table keeps of a report."""

from benchmarks.zoo import results
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


def test_each_model_with_idioms_has_a_line_in_the_summary_and_an_entry_in_the_file():
    verdicts = [Verdict("a/b", "decoder", accepted=idioms([*BRANCHES, TIE])), Verdict("c/d", "decoder")]
    lines = results.summary(verdicts).splitlines()
    assert [line for line in lines if "accepted" in line] == ["  a/b: accepted identity branch x 3, tied weights x 1"]
    rows = {verdict.key: results.row(verdict) for verdict in verdicts}
    assert rows["a/b"]["accepted"] == {"identity branch": 3, "tied weights": 1}
    assert "accepted" not in rows["c/d"]
