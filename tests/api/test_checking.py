"""The whole story: which rules run, what becomes of their verdicts, when a report is incomplete."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stepzero
from stepzero import api, rules
from stepzero.api import checking
from stepzero.core.errors import ConfigError
from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.outcome import Report
from stepzero.core.rule import NotJudged, Rule, rule
from stepzero.core.trace import Trace
from stepzero.probe import further
from tests.probe import planting, sleeping
from tests.probe.observing import seeded

X = seeded(6, 4)


def made(code: str, name: str, judge: Callable[[Trace, Limits], Any], **facts: Any) -> Rule:
    return rule(code, name, tier=1, **facts)(judge)


def finding(code: str, severity: Any = "error", where: tuple[str, ...] = ("0.weight",)) -> Finding:
    return Finding(code, "made", severity, where, f"said by {code}")


def crash(trace: Trace, limits: Limits) -> Any:
    yield finding("SZ903")
    raise ZeroDivisionError("in the rule\nsecond line")


RULES = (
    made("SZ901", "loud", lambda trace, limits: [finding("SZ901"), finding("SZ901", "warning", ("2.weight",))]),
    made("SZ902", "quiet", lambda trace, limits: [NotJudged("needs more")]),
    made("SZ903", "crashing", crash),
    made("SZ911", "noting", lambda trace, limits: [finding("SZ911", "info", ())]),
    made("SZ912", "old", lambda trace, limits: [finding("SZ912")], status="deprecated"),
    made("SZ913", "poisoned", lambda trace, limits: [NotJudged(trace.poison.reason)], needs=("poison",)),
    made("SZ914", "limited", lambda trace, limits: [finding("SZ914")] if limits.dead_error < 0.5 else []),
)


@pytest.fixture
def made_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "ALL", RULES)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def codes(report: Report) -> tuple[str, ...]:
    return report.coverage.rules_run


@pytest.mark.usefixtures("made_rules")
@pytest.mark.parametrize(
    ("select", "ignore", "run"),
    [
        (None, None, "901 902 903 911 913 914"),
        (["SZ901"], None, "901"),
        (["SZ90"], None, "901 902 903"),
        (["loud", "SZ91"], None, "901 911 913 914"),
        ("SZ901,SZ902", None, "901 902"),
        ("SZ901, quiet", None, "901 902"),
        (None, ["SZ90"], "911 913 914"),
        (["SZ90"], ["crashing"], "901 902"),
        (None, "SZ903,SZ913", "901 902 911 914"),
        (iter(["SZ901"]), iter(["SZ902"]), "901"),
    ],
)
def test_codes_prefixes_and_names_select_rules(select: Any, ignore: Any, run: str) -> None:
    assert codes(api.check(model(), X, select=select, ignore=ignore)) == tuple(f"SZ{code}" for code in run.split())


@pytest.mark.usefixtures("made_rules")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"select": ["SZ909"]}, "select: no rule 'SZ909'; did you mean 'SZ9"),
        ({"ignore": ["crashin"]}, "ignore: no rule 'crashin'; did you mean 'crashing'?"),
        ({"select": ["xyzzy"]}, "select: no rule 'xyzzy'; `stepzero rules` lists all of them"),
        ({"select": [""]}, "select: no rule ''"),
        ({"select": 3}, "select: expected codes, names or prefixes such as 'SZ1', got 3"),
        ({"ignore": ["SZ1", None]}, "ignore: expected codes, names or prefixes such as 'SZ1', got ['SZ1', None]"),
        ({"ignore": ["loud", "sz901"]}, "ignore: no rule 'sz901'; did you mean 'SZ901'?"),
    ],
)
def test_an_unknown_code_is_refused_before_anything_runs(arguments: Any, said: str) -> None:
    def factory() -> Any:
        raise AssertionError("ran")

    with pytest.raises(ConfigError) as caught:
        api.check(factory, X, **arguments)
    assert str(caught.value).startswith(said)
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("made_rules")
@pytest.mark.parametrize(("select", "ignore"), [([], None), (["SZ901"], ["SZ901"]), (None, ["SZ9"])])
def test_no_rule_at_all_is_not_all_good(select: Any, ignore: Any) -> None:
    report = api.check(model(), X, select=select, ignore=ignore)
    assert not report.findings
    assert report.exit_code() == 3
    assert any("no rule" in reason.why for reason in report.coverage.incomplete)


@pytest.mark.usefixtures("made_rules")
def test_a_crashed_rule_makes_the_report_incomplete_and_keeps_what_was_said() -> None:
    report = api.check(model(), X, select=["SZ903", "SZ911"])
    ((what, why),) = [(reason.what, reason.why) for reason in report.coverage.incomplete]
    assert what == "SZ903 crashing"
    assert why == "the rule crashed: ZeroDivisionError: in the rule second line"
    assert not report.is_complete
    assert [said.code for said in report.findings] == ["SZ903", "SZ911"]
    assert report.exit_code() == 1  # findings win over incomplete
    assert api.check(model(), X, select=["SZ903"], ignore=["SZ901"]).exit_code("never") == 3


@pytest.mark.usefixtures("made_rules")
def test_what_a_rule_could_not_judge_is_covered_as_such() -> None:
    report = api.check(model(), X, select=["SZ902"])
    assert [(reason.what, reason.why) for reason in report.coverage.not_judged] == [("SZ902 quiet", "needs more")]
    assert (report.is_complete, report.exit_code()) == (True, 0)


@pytest.mark.usefixtures("made_rules")
def test_findings_come_worst_first() -> None:
    report = api.check(model(), X, ignore=["SZ903"])
    assert [said.severity for said in report.findings] == ["error", "warning", "info"]
    assert [len(part) for part in (report.errors, report.warnings, report.notes)] == [1, 1, 1]
    assert report.exit_code() == 1
    assert api.check(model(), X, select=["SZ911"]).exit_code("warning") == 0  # notes never count


@pytest.mark.usefixtures("made_rules")
def test_other_limits_reach_the_rules() -> None:
    assert not api.check(model(), X, select=["limited"]).findings
    assert api.check(model(), X, select=["limited"], limits=Limits(dead_error=0.1)).findings


@pytest.mark.usefixtures("made_rules")
def test_poison_runs_only_for_a_rule_that_asks_for_it() -> None:
    calls: list[str] = []

    def factory() -> Any:
        calls.append("built")
        return model(), X

    api.check(factory, select=["SZ901"])
    assert len(calls) == 1
    report = api.check(factory, select=["SZ913"])
    assert len(calls) == 4  # the model, and two in marked memory
    assert report.coverage.not_judged[0].why == ""
    assert "factory" in api.check(model(), X, select=["SZ913"]).coverage.not_judged[0].why


@pytest.mark.usefixtures("made_rules")
def test_a_finding_carries_the_line_that_made_its_module() -> None:
    def factory() -> Any:
        first = nn.Linear(4, 8)  # the first
        return nn.Sequential(first, nn.ReLU(), nn.Linear(8, 2)), X  # the last

    start = factory.__code__.co_firstlineno
    report = api.check(factory, select=["SZ901"])
    lines = {said.where[0]: said.source_line for said in report.findings}
    assert lines == {
        "0.weight": f"tests/api/test_checking.py:{start + 1}",
        "2.weight": f"tests/api/test_checking.py:{start + 2}",
    }
    assert {said.source_line for said in api.check(model(), X, select=["SZ901"]).findings} == {None}


@pytest.mark.usefixtures("made_rules")
def test_a_finding_about_a_parameter_that_was_replaced_carries_the_line_that_did_it() -> None:
    def factory() -> Any:
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        model[2].weight = nn.Parameter(torch.ones(2, 8))
        return model, X

    start = factory.__code__.co_firstlineno
    report = api.check(factory, select=["SZ901"])
    lines = {said.where[0]: said.source_line for said in report.findings}
    assert lines == {
        "0.weight": f"tests/api/test_checking.py:{start + 1}",
        "2.weight": f"tests/api/test_checking.py:{start + 2}",
    }


def test_coverage_counts_what_was_seen() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.relu(self.a(x)))

    coverage = api.check(Partly(), X).coverage
    assert (coverage.weighted_checked, coverage.weighted_total) == (2, 2)
    assert (coverage.parameters_checked, coverage.parameters_total) == (4, 6)
    # Nothing was measured for the deep ones, and no reference was given.
    unasked = {"SZ110", "SZ309", "SZ411", "SZ412", "SZ903", "SZ904"}
    assert set(coverage.rules_run) == {rule.code for rule in rules.ALL if rule.status != "deprecated"} - unasked
    assert coverage.incomplete == ()


@pytest.mark.parametrize(
    ("module", "what"),
    [
        (nn.ReLU(), "no parameters"),
        (nn.BatchNorm1d(4), "no operation with a weight"),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2, device="meta")), "hold no memory"),
        (nn.Sequential(nn.LazyLinear(4)), "0.weight (lazy)"),
    ],
)
def test_nothing_checked_is_never_all_good(module: nn.Module, what: str) -> None:
    report = api.check(module, X)
    assert any(what in reason.why for reason in report.coverage.incomplete)
    assert report.exit_code() in (1, 3)
    assert not report.ok()


@pytest.mark.parametrize("loss", [lambda output: output.detach().mean(), lambda output: torch.tensor(1.5)])
def test_a_loss_without_a_derivative_is_never_all_good(loss: Any) -> None:
    report = api.check(model(), X, loss)
    assert any("no derivative leads from the loss" in reason.why for reason in report.coverage.incomplete)
    assert report.exit_code() in (1, 3)
    assert any("does not depend on any trainable parameter" in said for said in report.conditions)
    assert not api.check(model().requires_grad_(False), X, loss).is_complete  # nothing can train: never all good


def test_the_report_says_how_it_was_made() -> None:
    report = api.check(model(), X, "cross_entropy", torch.zeros(6, dtype=torch.long), seed=5, name="mine")
    assert (report.model, report.seed, report.is_unchanged) == ("mine", 5, True)
    assert report.num_parameters == 4 * 8 + 8 + 8 * 2 + 2
    assert report.versions["torch"] == torch.__version__
    assert report.versions["stepzero"] == stepzero.__version__
    assert report.loss is not None
    assert report.loss_note == ""
    assert "random cotangents" in api.check(model(), X).loss_note
    assert "assumed" in api.check(model(), X, target=torch.zeros(6, dtype=torch.long)).loss_note
    assert [row.path for row in report.layers] == ["0.weight", "2.weight"]


def test_progress_is_told_by_stages() -> None:
    said: list[str] = []
    api.check(lambda: (model(), X), progress=said.append)
    assert said == ["building the model", "one forward and one backward", "building again in marked memory", "judging"]


def test_two_checks_with_one_seed_are_equal() -> None:
    first, second = (api.check(lambda: (model(), X)).to_json() for _ in range(2))
    assert first == second
    assert Report.from_json(first).to_json() == first


def test_a_stand_in_batch_is_known_to_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    listening = made("SZ901", "listening", lambda trace, limits: heard.append(trace.inputs[0].is_stand_in) or [])
    monkeypatch.setattr(rules, "ALL", (listening,))
    for is_stand_in in (True, False):
        api.check(model(), X, batch_is_stand_in=is_stand_in)
    assert heard == [True, False]


def test_trace_is_what_check_judges() -> None:
    observed = stepzero.trace(model, X, seed=3)
    assert (observed.model, observed.seed, observed.has_backward) == ("model", 3, True)


def zero_head() -> nn.Module:
    net = model()
    nn.init.zeros_(net[2].weight)
    return net


def test_accepted_idioms_stand_in_the_coverage_and_come_back_from_json() -> None:
    report = api.check(zero_head(), X, "cross_entropy", torch.tensor([0, 1, 0, 1, 0, 1]))
    assert [(each.idiom, each.where) for each in report.coverage.accepted] == [("zero head", ("2.weight",))]
    assert Report.from_json(report.to_json()).coverage.accepted == report.coverage.accepted
    assert "zero head  2.weight" in report.to_text(80)


@pytest.mark.parametrize("severity", ["error", "warning", "info"])
def test_no_place_is_a_fault_and_fine_at_once(monkeypatch: pytest.MonkeyPatch, severity: Any) -> None:
    said = Finding("SZ102", "made-up", severity, ("2.weight",), "a sentence")
    monkeypatch.setattr(rules, "ALL", (made("SZ102", "made-up", lambda *_: [said]),))
    report = api.check(zero_head(), X, "cross_entropy", torch.tensor([0, 1, 0, 1, 0, 1]))
    assert len(report.coverage.accepted) == (severity == "info")


def test_a_crash_among_idioms_makes_the_check_incomplete_and_no_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> Any:
        raise RuntimeError("boom")

    monkeypatch.setattr(checking.idioms, "accepted", crash)
    report = api.check(model(), X)
    assert [(item.what, item.why) for item in report.coverage.incomplete] == [("idioms", "crashed: RuntimeError: boom")]


def test_a_report_is_the_same_twice() -> None:
    network = sleeping.zeroed(planting.stack(6, 32, 32, 3, phi=nn.ReLU), "2.weight", "2.bias")
    one, two = (api.check(network, seeded(64, 6), planting.square) for _ in range(2))
    assert one == two


def test_a_crashed_probe_makes_the_report_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = replace(further.PROBES["symmetry"], run=lambda *_: 1 / 0)
    monkeypatch.setitem(further.PROBES, "symmetry", crashing)
    layer = nn.Linear(8, 8)
    nn.init.constant_(layer.weight, 0.1)
    report = api.check(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), layer), torch.ones(4, 8))
    assert ("probe symmetry", "crashed: ZeroDivisionError: division by zero") in [
        (each.what, each.why) for each in report.coverage.incomplete
    ]


@pytest.mark.parametrize(("probes", "said"), [(3, "no probe 3"), ("wak", "no probe 'wak'; did you mean 'wake'?")])
def test_an_odd_probe_is_told_in_one_line(probes: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        api.trace(nn.Linear(3, 2), torch.ones(2, 3), probes=probes)


def test_one_probe_needs_no_list() -> None:
    assert api.trace(nn.Linear(3, 2), torch.ones(2, 3), probes="wake").wake.ran
