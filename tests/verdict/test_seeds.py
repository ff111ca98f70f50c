"""Several seeds: the same trouble at another place, a verdict that flips, and what then counts."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from stepzero.core.finding import RANK, Finding
from stepzero.core.outcome import Coverage, Report
from stepzero.verdict.seeds import agreed, spread


def finding(severity="error", where=("a",), code="SZ305", value=1.0, root=None):
    return Finding(code, "made", severity, where, "a sentence", value=value, root=root)


def reports(*groups):
    return [Report("net", tuple(group), (), Coverage(1, 1), seed=seed) for seed, group in enumerate(groups)]


def settled(*groups):
    made = reports(*groups)
    return [(each.id, each.severity) for each in agreed(made[0].findings, spread(made))]


def test_one_spread_a_code_and_shared_place():
    fact = spread(reports([finding(where=("a", "b"), value=0.5)], [finding(where=("b", "c"), value=0.7)], []))
    (only,) = fact.spreads
    assert (only.where, only.severities, only.values) == (("a", "b"), ("error", "error", None), (0.5, 0.7, None))
    assert fact.seeds == (0, 1, 2)


def test_what_only_another_seed_found_is_told_too():
    (only,) = spread(reports([], [finding()])).spreads
    assert only.severities == (None, "error")


def test_what_every_seed_says_stays():
    assert settled([finding()], [finding()]) == [("SZ305:a", "error")]


def test_a_verdict_that_flips_counts_as_the_mildest():
    assert settled([finding()], []) == [("SZ305:a", "info")]
    assert settled([finding()], [finding("warning")]) == [("SZ305:a", "warning")]
    assert settled([finding("warning")], [finding("error")]) == [("SZ305:a", "warning")]


def test_a_fault_that_every_seed_has_somewhere_counts():
    assert settled([finding(where=("a",))], [finding(where=("b",))]) == [("SZ305:a", "error")]


def test_a_steady_fault_does_not_lend_its_loudness():
    steady = finding(where=("s",))
    assert settled([steady, finding()], [steady]) == [("SZ305:s", "error"), ("SZ305:a", "info")]


def test_a_steady_consequence_of_what_flips_counts_by_itself():
    root = finding(code="SZ302")
    under = finding(code="SZ401", where=("b",), root=root.id)
    made = reports([root, under], [replace(under, root=None)])
    lowered = {each.code: (each.severity, each.root) for each in agreed(made[0].findings, spread(made))}
    assert lowered == {"SZ302": ("info", None), "SZ401": ("error", None)}


severities = st.lists(st.sampled_from(["error", "warning", "info", None]), min_size=1, max_size=5)


@given(severities)
def test_more_seeds_never_make_a_finding_louder(said):
    groups = [[] if severity is None else [finding(severity)] for severity in said]
    for _, severity in settled(*groups):
        assert RANK[severity] >= RANK[said[0]]
