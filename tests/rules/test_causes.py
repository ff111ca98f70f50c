"""One fault is reported once: what follows from it hangs under it."""

import pytest
import torch
from torch import nn

import stepzero
from stepzero.core.finding import Finding
from stepzero.rules.causes import attribute, candidates

X = torch.randn(64, 16)


def stack():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))


def said(code, *where, severity="error", operation=None):
    return Finding(code, "a-name", severity, where, "a message", operation=operation)


def roots(*findings):
    return {finding.id: finding.root for finding in attribute(stepzero.trace(stack(), X), findings)}


def test_trouble_travels_downstream():
    found = roots(said("SZ103", "0.weight"), said("SZ305", "2.weight"))
    assert found == {"SZ103:0.weight": None, "SZ305:2.weight": "SZ103:0.weight"}


def test_it_does_not_travel_upstream():
    assert roots(said("SZ103", "4.weight"), said("SZ305", "2.weight"))["SZ305:2.weight"] is None


def test_gradients_travel_both_ways():
    assert roots(said("SZ305", "2.weight"), said("SZ401", "0.weight"))["SZ401:0.weight"] == "SZ305:2.weight"
    assert roots(said("SZ305", "2.weight"), said("SZ401", "4.weight"))["SZ401:4.weight"] == "SZ305:2.weight"


def test_notes_explain_nothing():
    assert roots(said("SZ206", "0.weight", severity="info"), said("SZ305", "2.weight"))["SZ305:2.weight"] is None


def test_unrelated_codes_do_not_explain_each_other():
    assert roots(said("SZ405", "0.weight"), said("SZ305", "2.weight"))["SZ305:2.weight"] is None


def test_the_cause_at_the_same_place_comes_first():
    found = roots(said("SZ102", "0.weight"), said("SZ102", "2.weight"), said("SZ103", "2.weight"))
    assert found["SZ103:2.weight"] == "SZ102:2.weight"


def test_a_consequence_is_never_a_root():
    found = roots(said("SZ102", "0.weight"), said("SZ103", "0.weight"), said("SZ305", "2.weight"))
    assert set(found.values()) == {None, "SZ102:0.weight"}


@pytest.mark.parametrize("code", ["SZ501", "SZ510"])
def test_the_loss_is_downstream_of_everything(code):
    operation = None if code == "SZ510" else 5
    assert roots(said("SZ101", "0.bias"), said(code, "elsewhere", operation=operation))[f"{code}:elsewhere"] is not None


def test_a_planted_fault_has_one_root():
    model = stack()
    with torch.no_grad():
        model[2].weight[3, 4] = float("nan")
    report = stepzero.check(model, X, lambda output: output.square().mean())
    assert [finding.code for finding in report.root_causes] == ["SZ101"]


def test_a_root_is_as_loud_as_its_worst_consequence():
    from torch import nn

    import stepzero

    torch.manual_seed(0)
    layers = [module for _ in range(3) for module in (nn.Linear(32, 32), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(32, 5))
    with torch.no_grad():
        model[2].weight[0, 0] = 9e10
    report = stepzero.check(model, torch.randn(64, 32), "cross_entropy", torch.randint(0, 5, (64,)))
    assert report.errors
    assert not report.ok()
    assert report.exit_code() == 1
    assert any(root.severity == "error" for root in report.root_causes)


# -- counterfactual repair --------------------------------------------------------------------------------------------


def hung(findings, vanished):
    return {each.id: each.root for each in attribute(stepzero.trace(stack(), X), findings, vanished)}


def test_what_a_repair_made_vanish_hangs_under_what_was_repaired():
    """No table of causes knows SZ207 to bring about SZ405: the measurement does."""
    root, consequence, other = said("SZ207", "0.weight"), said("SZ405", "4.bias"), said("SZ405", "2.bias")
    found = hung([root, consequence, other], {root.id: frozenset([consequence.id])})
    assert found == {root.id: None, consequence.id: root.id, other.id: None}


def test_a_consequence_of_a_consequence_hangs_under_the_root():
    first, second, third = said("SZ101", "0.weight"), said("SZ206", "2.weight"), said("SZ405", "4.bias")
    found = hung([first, second, third], {first.id: frozenset([second.id, third.id]), second.id: frozenset([third.id])})
    assert found == {first.id: None, second.id: first.id, third.id: first.id}


def test_of_two_repairs_that_both_cure_it_the_one_at_its_place_is_named():
    near, far, finding = said("SZ206", "4.weight"), said("SZ206", "0.weight"), said("SZ405", "4.weight")
    gone = frozenset([finding.id])
    assert hung([far, near, finding], {far.id: gone, near.id: gone})[finding.id] == near.id


def test_a_finding_does_not_explain_itself():
    one = said("SZ206", "0.weight")
    assert hung([one], {one.id: frozenset([one.id])}) == {one.id: None}


@pytest.mark.parametrize(
    ("findings", "tried"),
    [
        ([said("SZ206", "0.weight")], []),
        ([said("SZ206", "0.weight"), said("SZ305", "2.weight", severity="info")], []),
        (
            [said("SZ405", "0.weight"), said("SZ206", "2.weight"), said("SZ101", "4.weight")],
            ["SZ101", "SZ206", "SZ405"],
        ),
        ([said("SZ103", "0.weight"), said("SZ305", "2.weight"), said("SZ501", "4.weight", operation=5)], []),
    ],
    ids=["one", "a note", "causes first", "already explained"],
)
def test_repairs_are_tried_on_loud_findings_that_nothing_explains_causes_first(findings, tried):
    assert [each.code for each in candidates(stepzero.trace(stack(), X), findings)] == tried
