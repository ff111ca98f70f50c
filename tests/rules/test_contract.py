"""What every rule promises: its page is complete and true, its limits exist, and it is where it says it is."""

import contextlib
import dataclasses
import linecache
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import stepzero
from stepzero import rules
from stepzero.core.limits import Limits
from stepzero.core.rule import FAMILIES, HEADINGS, Rule
from tests.rules import ranks

FOLDERS = {
    1: "memory",
    2: "symmetry",
    3: "signal",
    4: "gradient",
    5: "output",
    6: "bias",
    7: "structure",
    8: "distributed",
    9: "batch",
}
RULES = Path(rules.__file__).parent
every_rule = pytest.mark.parametrize("rule", rules.ALL, ids=lambda rule: rule.code)


def example(rule: Rule, heading: str) -> dict[str, object]:
    """Run the code under a heading and return its names; its lines can be told and read like those of a file."""
    names: dict[str, object] = {"__name__": f"{rule.code}_{heading}"}
    text, file = rule.section(heading), f"{rule.code}_{heading}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), names)
    return names


def asked(names: dict[str, object], **asked: object) -> dict[str, object]:
    """What to check an example with: its own ``options`` win."""
    return {"optimizer": names.get("optimizer"), **asked, **names.get("options", {})}


def checked(names: dict[str, object], text: str, *, select: str | None = None) -> stepzero.Report:
    """Check an example, on several processes when it asks for ``ranks``; all rules run unless one is selected."""
    if "ranks" in names:
        return ranks.report(text, names["ranks"], select)
    if select is None:
        return stepzero.check(names["build"], **{**asked(names), "select": None})
    return stepzero.check(names["build"], **asked(names, select=[select]))


def findings(rule: Rule, heading: str) -> tuple[list[stepzero.Finding], dict[str, object]]:
    """Check the example as a factory, without the noise of the other rules."""
    names = example(rule, heading)
    report = checked(names, rule.section(heading), select=rule.code)
    assert not [item for item in report.coverage.incomplete if "crashed" in item.why], report.coverage.incomplete
    return [finding for finding in report.findings if finding.code == rule.code], names


@every_rule
def test_page_has_every_heading_with_text(rule):
    assert [heading for heading in HEADINGS if not rule.section(heading).strip()] == []
    assert rule.summary.endswith(".")


@every_rule
def test_bad_is_found_at_the_place_it_says(rule):
    found, names = findings(rule, "Bad")
    assert found, "Bad is not found"
    places = {place for finding in found for place in finding.where}
    assert set(names["expected"]) <= places
    assert all(finding.name == rule.name for finding in found)


@every_rule
def test_every_place_is_a_path_of_the_model(rule):
    found, names = findings(rule, "Bad")
    with ranks.alone() if "ranks" in names else contextlib.nullcontext():
        made = names["build"]()
    model = made[0] if isinstance(made, tuple) else made
    model = model.module if "ranks" in names else model
    paths = {*dict(model.named_modules()), *dict(model.named_parameters()), *dict(model.named_buffers())}
    assert {place for finding in found for place in finding.where} <= paths


@every_rule
def test_good_is_silent(rule):
    found, _ = findings(rule, "Good")
    assert [finding for finding in found if finding.severity != "info"] == []


@every_rule
def test_bad_is_still_found_among_all_rules(rule):
    names = example(rule, "Bad")
    report = checked(names, rule.section("Bad"))
    assert rule.code in {finding.code for finding in report.findings}


@every_rule
def test_message_is_one_sentence_with_its_numbers(rule):
    for finding in findings(rule, "Bad")[0]:
        assert not finding.message.endswith("."), finding.message
        assert finding.citation
        assert "\n" not in finding.message


@every_rule
def test_limits_exist_with_unit_and_source(rule):
    fields = {field.name: field for field in dataclasses.fields(Limits)}
    for name in rule.limits:
        assert fields[name].metadata["unit"]
        assert fields[name].metadata["source"]


@every_rule
def test_limits_named_are_the_limits_used(rule):
    used = set(re.findall(r"\blimits\.([a-z_]+)", Path(rule.file).read_text()))
    declared = set(rule.limits)
    assert used <= declared
    assert declared - used <= {"saturated_derivative"}, "taken by the probe: the Trace holds shares, not slopes"


@every_rule
def test_file_is_in_its_family(rule):
    assert Path(rule.file) == RULES / FOLDERS[rule.family] / f"{rule.name.replace('-', '_')}.py"
    assert rule.family in FAMILIES


@every_rule
def test_name_and_code_are_in_form(rule):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.name)
    assert re.fullmatch(r"SZ[1-9]\d\d", rule.code)


def test_every_file_is_listed_once_and_by_code():
    files = {path for path in RULES.glob("*/*.py") if path.name != "__init__.py"}
    assert {Path(rule.file) for rule in rules.ALL} == files
    codes = [rule.code for rule in rules.ALL]
    assert codes == sorted(set(codes))
    assert len({rule.name for rule in rules.ALL}) == len(rules.ALL)
    assert rules.names() == {rule.code: rule.name for rule in rules.ALL}


def test_rules_do_without_torch():
    code = "import sys, stepzero.rules; print('torch' in sys.modules, any('probe' in name for name in sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "False"]


@every_rule
def test_silent_on_a_sound_network(rule):
    torch.manual_seed(0)
    layers = [
        torch.nn.Linear(16, 32),
        torch.nn.ReLU(),
        torch.nn.Linear(32, 32),
        torch.nn.Tanh(),
        torch.nn.Linear(32, 4),
    ]
    model, labels = torch.nn.Sequential(*layers), torch.arange(64) % 4
    report = stepzero.check(model, torch.randn(64, 16), "cross_entropy", labels, select=[rule.code])
    assert [finding for finding in report.findings if finding.severity != "info"] == []
