"""`fix_` checks again as the check did: what was suppressed then does not come up now."""

from typing import Any

import pytest
from torch import nn

import stepzero
from stepzero.api import fixing
from stepzero.core.errors import ConfigError
from tests.probe.observing import seeded

X = seeded(32, 6)


def made() -> Any:
    kept = nn.Linear(6, 32)  # stepzero: ignore[SZ206] filled by the loader
    nn.init.constant_(kept.weight, 0.5)
    wrong = nn.Linear(32, 32)
    nn.init.constant_(wrong.bias, -50.0)
    return nn.Sequential(kept, nn.Tanh(), wrong, nn.ReLU(), nn.Linear(32, 3))


def test_what_a_comment_suppresses_is_not_written() -> None:
    models: list[nn.Module] = []

    def factory() -> Any:
        models.append(made())
        return models[-1], X

    report = stepzero.check(factory)
    assert [each.finding.where for each in report.suppressed if each.finding.code == "SZ206"] == [("0.weight",)]
    plan = stepzero.fix_(models[0], report)
    assert "2.bias" in plan.written()
    assert "0.weight" not in plan.written()
    assert float(models[0][0].weight.detach().std()) == 0.0


def test_a_report_from_elsewhere_needs_a_batch() -> None:
    report = stepzero.Report.from_json(stepzero.check(made(), X).to_json())
    with pytest.raises(ConfigError, match="no batch is known"):
        stepzero.fix_(made(), report)


def test_a_report_that_is_gone_is_forgotten() -> None:
    report = stepzero.check(made(), X)
    key = id(report)
    assert key in fixing._KNOWN
    del report
    assert key not in fixing._KNOWN
