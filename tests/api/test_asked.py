"""What a check was asked for, understood before anything runs."""

from typing import Any

import pytest

from stepzero.api.asked import asked_for
from stepzero.core.baseline import Baseline
from stepzero.core.errors import ConfigError


def test_ignored_rules_still_judge_and_do_not_count() -> None:
    asked = asked_for(["SZ1", "SZ206"], ["SZ206"])
    assert "SZ206" in {rule.code for rule in asked.chosen}
    assert "SZ206" not in {rule.code for rule in asked.counted}
    (everywhere,) = asked.suppressions
    assert (everywhere.origin, everywhere.codes, everywhere.is_local) == ("ignore", ("SZ206",), False)


def test_patterns_come_with_or_without_a_reason() -> None:
    given = {"enc.*": "SZ302", "*.gate": {"codes": ["closed-gate"], "reason": "meant"}}
    first, second = asked_for(per_module_ignores=given).suppressions
    assert (first.pattern, first.codes, first.reason) == ("enc.*", ("SZ302",), "")
    assert (second.pattern, second.codes, second.reason) == ("*.gate", ("SZ703",), "meant")
    assert second.origin == "per-module-ignores '*.gate'"


def test_a_baseline_may_be_at_hand() -> None:
    assert asked_for(baseline=Baseline()).baseline == Baseline()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"per_module_ignores": ["a"]}, "per_module_ignores: expected a dict of patterns and codes, got ['a']"),
        ({"per_module_ignores": {"": "SZ1"}}, "expected a pattern of module paths"),
        ({"per_module_ignores": {"a": ["SZ3O5"]}}, "per-module-ignores 'a': no rule 'SZ3O5'; did you mean 'SZ305'?"),
        ({"per_module_ignores": {"a": []}}, "per-module-ignores 'a': expected codes or names"),
        ({"per_module_ignores": {"a": {"code": ["SZ1"]}}}, "no key 'code'; did you mean 'codes'?"),
        ({"per_module_ignores": {"a": {"codes": ["SZ1"], "reason": 3}}}, "expected the reason as text, got 3"),
        ({"baseline": 3}, "baseline: expected a path or a Baseline, got int"),
        ({"baseline": "gone.json"}, "baseline gone.json: no such file"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(arguments: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asked_for(**arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
