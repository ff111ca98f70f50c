"""Baselines: what is new against one, what is stale in it, and that writing it again changes nothing by itself."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.core.baseline import Baseline, Entry
from stepzero.core.errors import ConfigError
from stepzero.core.finding import Finding
from stepzero.core.outcome import Coverage, NotChecked, Report
from stepzero.core.suppression import Suppressed
from stepzero.verdict.baseline import dump, known, pruned, read, stale, written


def finding(code="SZ305", where=("fc.weight",), severity="warning", value=0.4, limit=0.1, root=None):
    return Finding(code, "made", severity, where, "a sentence", value=value, limit=limit, root=root)


def report(*findings, run=("SZ305", "SZ402", "SZ201"), **coverage):
    return Report("net", findings, (), Coverage(1, 1, 1, 1, run, **coverage))


def base(*findings, **changes):
    return replace(written(report(*findings)), **changes)


def keys(baseline):
    return [(entry.code, entry.place) for entry in baseline.entries]


def test_errors_and_warnings_are_kept_consequences_too_and_notes_not():
    root = finding(severity="error")
    under = finding("SZ402", ("head.weight", "head.bias"), root=root.id)
    assert keys(base(root, under, finding("SZ201", severity="info"))) == [
        ("SZ305", "fc.weight"),
        ("SZ402", "head.weight"),
        ("SZ402", "head.bias"),
    ]


@pytest.mark.parametrize(
    ("now", "is_known"),
    [
        (finding(), True),
        (finding(value=0.7), True),
        (finding(value=0.81), False),  # twice as bad as 0.4
        (finding(value=0.11), True),
        (finding(value=None), True),
        (finding(severity="error"), False),
        (finding(severity="info"), True),
        (finding(where=("fc.bias",)), False),
        (finding(where=("fc.weight", "fc.bias")), False),
        (finding(code="SZ402"), False),
        (finding(value=0.05), False),  # on the other side of its limit
        (finding(value=float("inf")), False),
        (finding(value=float("nan")), True),
    ],
)
def test_the_key_is_code_and_place_and_the_number_a_ratchet(now, is_known):
    assert (known(now, now.severity, base(finding())) is not None) is is_known


def test_a_small_number_that_is_bad_gets_worse_downward():
    before = base(finding(value=0.5, limit=1.0))
    assert known(finding(value=0.3, limit=1.0), "warning", before)
    assert known(finding(value=0.2, limit=1.0), "warning", before) is None
    assert known(finding(value=0.0, limit=1.0), "warning", base(finding(value=0.0, limit=1.0)))


def test_a_finding_at_several_places_is_known_when_all_of_them_are():
    before = base(finding(where=("a",)), finding(where=("b",)), finding(where=("c",)))
    assert known(finding(where=("a", "c")), "warning", before)


@given(st.floats(1e-3, 1e3), st.floats(0.51, 1.95))
def test_writing_again_with_numbers_of_another_seed_gives_the_same_bytes(value, change):
    first = base(finding(value=value, limit=1e-9))
    again = written(report(finding(value=value * change * 1.0, limit=1e-9)), first)
    near = 0.53 < change < 1.88  # two digits round by up to 5 %
    assert not near or dump(again) == dump(first)


def test_the_file_has_no_seed_version_or_date_and_is_sorted():
    text = dump(base(finding("SZ402", ("z",)), finding("SZ305", ("b",)), finding("SZ305", ("a",))))
    plain = json.loads(text)
    assert set(plain) == {"schema", "factor", "entries"}
    assert [(entry["code"], entry["place"]) for entry in plain["entries"]] == [
        ("SZ305", "a"),
        ("SZ305", "b"),
        ("SZ402", "z"),
    ]
    assert text.endswith("}\n")


def test_it_comes_back_from_its_file(tmp_path):
    before = base(finding(value=0.123456), finding("SZ402", ("",), value=None))
    (tmp_path / "b.json").write_text(dump(before))
    after = read(tmp_path / "b.json")
    assert after.name == str(tmp_path / "b.json")
    assert dump(after) == dump(before)
    assert after.entries[0].value == 0.12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file; `stepzero baseline write` makes it"),
        ("{", "expected a file of `stepzero baseline write`, got"),
        ("[]", "Expected `object`, got `array`"),
        ('{"entries": [{"code": 3}]}', "Expected `str`, got `int` - at `$.entries[0].code`"),
        ('{"entries": [], "factor": 0.5}', "a factor above 1"),
        ('{"entries": [], "schema": 9}', "expected schema 1"),
    ],
)
def test_a_strange_file_is_refused_in_one_line(tmp_path, text, said):
    file = tmp_path / "b.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_stale_is_what_nobody_finds_any_more_as_far_as_its_rule_judged():
    before = base(finding(), finding("SZ402", ("a",)), finding("SZ201", ("b",)))
    assert [entry.code for entry in stale(report(), before)] == ["SZ305", "SZ402", "SZ201"]
    assert [entry.code for entry in stale(report(run=("SZ402",)), before)] == ["SZ402"]
    silent = report(not_judged=(NotChecked("SZ201 twin-units", "one sample"),))
    assert [entry.code for entry in stale(silent, before)] == ["SZ305", "SZ402"]
    assert stale(report(finding(), finding("SZ402", ("a",)), finding("SZ201", ("b",))), before) == ()


def test_what_the_baseline_itself_hides_is_not_stale():
    before = base(finding())
    hidden = replace(report(), suppressed=(Suppressed(finding(), "baseline b.json", "known"),))
    assert stale(hidden, before) == ()
    elsewhere = replace(report(), suppressed=(Suppressed(finding(), "ignore"),))
    assert keys(Baseline(stale(elsewhere, before))) == [("SZ305", "fc.weight")]


def test_pruning_drops_what_is_stale_and_tightens_what_got_twice_as_good():
    before = base(finding(value=0.8), finding(where=("b",), value=0.8), finding(where=("c",)))
    now = report(finding(value=0.3), finding(where=("b",), value=0.5), finding(where=("new",)))
    after = pruned(now, before)
    assert {entry.place: entry.value for entry in after.entries} == {"fc.weight": 0.3, "b": 0.8}


def test_pruning_never_loosens():
    before = base(finding(value=0.2))
    assert pruned(report(finding(value=0.9)), before).entries == before.entries


def test_an_old_entry_keeps_what_it_says_but_for_a_louder_severity():
    before = Baseline((Entry("SZ305", "fc.weight", "warning", 0.4),))
    assert written(report(finding(value=0.5)), before).entries == before.entries
    assert written(report(finding(value=0.5, severity="error")), before).entries[0].severity == "error"
