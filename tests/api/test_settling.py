"""What counts in the end: suppressions in every form, the baseline, the seeds, and the rules that judge these."""

from typing import Any

import pytest
import torch
from torch import nn

from stepzero import api, rules
from stepzero.core.errors import ConfigError
from stepzero.core.finding import Finding
from stepzero.core.outcome import Report
from stepzero.core.rule import rule
from stepzero.verdict.baseline import dump, written
from tests.probe.observing import seeded

X = seeded(32, 6)


def constant() -> Any:
    """One fault, a warning, that a comment hides; `dead` is another one, an error with consequences."""
    first = nn.Linear(6, 8)
    second = nn.Linear(8, 8)  # stepzero: ignore[SZ206] filled by the loader
    nn.init.constant_(second.weight, 0.5)
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), nn.Linear(8, 3)), X


def dead() -> Any:
    network = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    nn.init.constant_(network[0].bias, -50.0)
    return network


def both() -> Any:
    network = dead()
    network[2] = nn.Linear(32, 32)  # stepzero: ignore[SZ206] filled by the loader
    nn.init.constant_(network[2].weight, 0.5)
    return network, X


def uncommented() -> Any:
    return constant()[0]


def loud(report: Report) -> set[str]:
    return {each.id for each in report.findings if each.severity != "info"}


def test_a_comment_hides_what_its_line_created_and_nothing_else() -> None:
    report = api.check(both, select=["SZ206", "SZ602", "SZ906"])
    assert {each.id for each in report.findings} == {"SZ602:0.bias"}
    (hidden,) = report.suppressed
    assert hidden.finding.where == ("2.weight",)
    assert hidden.by.startswith("tests/api/test_settling.py:")
    assert hidden.reason == "filled by the loader"
    assert "filled by the loader" in report.to_text()
    assert "1 suppressed" in report.to_text().splitlines()[-1]
    assert Report.from_json(report.to_json()) == report


def test_suppressing_the_cause_does_not_promote_what_follows_from_it() -> None:
    whole = api.check(dead(), X)
    (root,) = [each for each in whole.root_causes if each.severity == "error"]
    under = {each.id for each in whole.consequences(root) if each.severity == "error"}
    assert under, "a fault with consequences is what this test needs"
    quiet = api.check(dead(), X, ignore=[root.code])
    assert quiet.exit_code() == 0
    assert under <= {each.finding.id for each in quiet.suppressed}


def test_a_consequence_with_another_cause_stays_under_that() -> None:
    told = api.check(both)
    (root,) = (
        told.root_causes
        if len(told.root_causes) == 1
        else [each for each in told.root_causes if each.severity == "error"]
    )
    assert {each.code for each in told.consequences(root)} >= {"SZ402", "SZ305"}
    assert {each.finding.code for each in told.suppressed} == {"SZ206"}


def test_a_root_is_as_loud_as_what_follows_and_counts() -> None:
    whole = api.check(dead(), X)
    (root,) = [each for each in whole.root_causes if each.severity == "error"]
    under = {each.code for each in whole.consequences(root)}
    quiet = api.check(dead(), X, ignore=sorted(under))
    assert [each.id for each in quiet.findings if each.severity != "info"] == [root.id]
    assert under <= {each.finding.code for each in quiet.suppressed}


@pytest.mark.parametrize("pattern", ["2", "2.weight", "2*", "*"])
def test_a_pattern_hides_by_path(pattern: str) -> None:
    report = api.check(uncommented(), X, per_module_ignores={pattern: "SZ206"}, select=["SZ206"])
    assert not loud(report)
    assert report.suppressed


def test_ignored_rules_ask_for_no_measurement_of_their_own_and_their_crash_is_nobodys() -> None:
    report = api.check(uncommented(), X, select=["SZ206", "SZ102"], ignore=["SZ102"])
    assert report.coverage.rules_run == ("SZ206",)
    assert not [entry for entry in report.coverage.not_judged if "SZ102" in entry.what]


def test_an_ignored_rule_may_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = rule("SZ901", "crashing", tier=1)(lambda trace, limits: 1 / 0)
    quiet = rule("SZ902", "quiet", tier=1)(lambda trace, limits: ())
    monkeypatch.setattr(rules, "ALL", (crashing, quiet))
    assert not api.check(uncommented(), X).is_complete
    assert api.check(uncommented(), X, ignore=["SZ901"]).is_complete


def test_ignoring_everything_is_not_all_good() -> None:
    assert api.check(uncommented(), X, ignore=["SZ"]).exit_code() == 3


def test_an_unused_comment_is_a_note_that_changes_no_exit_code() -> None:
    def factory() -> Any:
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), X  # stepzero: ignore[SZ101] old

    report = api.check(factory, select=["SZ101", "SZ906"])
    (note,) = report.findings
    assert (note.code, note.severity) == ("SZ906", "info")
    assert note.source_line == next(iter({each.source_line for each in report.findings}))
    assert report.exit_code("warning") == 0
    assert not api.check(factory, select=["SZ102", "SZ906"]).findings  # SZ101 was not asked


def test_a_typo_in_a_comment_hides_nothing_and_names_the_nearest() -> None:
    def factory() -> Any:
        layer = nn.Linear(6, 8)  # stepzero: ignore[SZ2O6] filled by the loader
        nn.init.constant_(layer.weight, 0.5)
        return nn.Sequential(layer, nn.Tanh(), nn.Linear(8, 3)), X

    report = api.check(factory, select=["SZ206", "SZ906"])
    assert {each.code for each in report.findings} == {"SZ206", "SZ906"}
    (note,) = [each for each in report.findings if each.code == "SZ906"]
    assert "no rule 'SZ2O6'; did you mean 'SZ206'?" in note.message


def test_the_baseline_lets_only_what_is_new_count(tmp_path: Any) -> None:
    file = tmp_path / "base.json"
    file.write_text(dump(written(api.check(uncommented(), X, ignore=["SZ9"]))))
    known = api.check(uncommented(), X, baseline=file)
    assert not loud(known)
    assert {each.by for each in known.suppressed} == {f"baseline {file}"}
    assert any(f"baseline {file}" in said and "stale" not in said for said in known.conditions)
    worse = api.check(dead(), X, baseline=file)
    assert any("0.bias" in each for each in loud(worse))


def test_stale_entries_are_told_and_do_not_fail(tmp_path: Any) -> None:
    file = tmp_path / "base.json"
    file.write_text(dump(written(api.check(uncommented(), X))))
    clean = api.check(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), X, baseline=file)
    assert clean.exit_code("warning") == 0
    assert any("stale" in said and "stepzero baseline prune" in said for said in clean.conditions)


def coin() -> Any:
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    if torch.rand(()) < 0.5:
        nn.init.constant_(network[0].weight, 0.5)
    return network, X


def test_a_verdict_that_flips_becomes_a_note_with_its_spread() -> None:
    single = [api.check(coin, seed=seed, select=["SZ206"]).exit_code("warning") for seed in range(4)]
    assert set(single) == {0, 1}, "the coin must fall on both sides"
    report = api.check(coin, seeds=4, select=["SZ206", "SZ908"])
    assert report.exit_code("warning") == 0
    assert report.seeds == (0, 1, 2, 3)
    (found,) = report.spread
    assert [severity is not None for severity in found.severities] == [code == 1 for code in single]
    (note,) = [each for each in report.findings if each.code == "SZ908"]
    assert f"under {sum(single)} of 4 seeds" in note.message
    assert "seeds 0 to 3" in report.to_text().splitlines()[-1]


def test_seeds_are_deterministic_and_a_steady_fault_stays() -> None:
    one, two = (api.check(dead, X, seeds=3) for _ in range(2))
    assert one == two
    assert one.exit_code() == api.check(dead, X).exit_code() == 1
    assert "under 3 of 3 seeds" in one.to_text()


@pytest.mark.parametrize("seeds", [0, -1, 1.5, True, "3"])
def test_seeds_have_to_be_a_number_from_one_on(seeds: Any) -> None:
    with pytest.raises(ConfigError, match="seeds: expected a whole number from 1 on"):
        api.check(coin, seeds=seeds)


def test_a_live_model_has_one_start() -> None:
    with pytest.raises(ConfigError, match="seeds: expected a factory"):
        api.check(coin()[0], X, seeds=2)


def test_incomplete_under_one_seed_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(trace: Any, limits: Any) -> Any:
        if trace.seed == 1:
            raise ZeroDivisionError("unlucky")
        return [Finding("SZ901", "made", "info", (), "fine")]

    monkeypatch.setattr(rules, "ALL", (rule("SZ901", "made-up", tier=1)(judge),))
    report = api.check(coin, seeds=2)
    assert report.exit_code() == 3
    assert "unlucky" in report.coverage.incomplete[0].why
