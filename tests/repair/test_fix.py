"""Fixes of a report are carried out, checked again, and taken back when they do not help."""

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.core.errors import ConfigError, IncompleteError
from tests.repair.judging import bits, same

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(64) % 3


def healthy():
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    sz.init_(model, X, loss="cross_entropy", target=LABELS)
    return model


def checked(model):
    return sz.check(model, X, "cross_entropy", LABELS)


def constant(model):
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 0.1)


def zero(model):
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[2].weight)


def copied(model):
    with torch.no_grad():
        model[2].weight[1:] = model[2].weight[0]
        model[2].bias.zero_()
        model[4].weight[:] = model[4].weight[:, :1]


def huge(model):
    with torch.no_grad():
        model[2].weight *= 1000


FAULTS = [constant, zero, copied, huge]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_mended(fault):
    model = healthy()
    fault(model)
    report = checked(model)
    assert report.errors or report.warnings
    plan = sz.fix_(model, report)
    assert checked(model).errors == ()
    assert plan.before
    assert len(plan.after) < len(plan.before)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mended_model_is_left_by_the_next_fix(fault):
    model = healthy()
    fault(model)
    sz.fix_(model, checked(model))
    saved = bits(model)
    if not checked(model).warnings:
        plan = sz.fix_(model, checked(model))
        assert plan.entries == ()
        assert same(model, saved)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_fault_is_mended_in_the_same_way(fault):
    models = [healthy(), healthy()]
    for model in models:
        fault(model)
        sz.fix_(model, checked(model))
    assert same(models[0], bits(models[1]))


def test_a_healthy_model_is_left():
    model = healthy()
    saved = bits(model)
    plan = sz.fix_(model, checked(model))
    assert plan.entries == plan.scalings == plan.before == plan.after == ()
    assert same(model, saved)


def test_what_is_sound_is_left_where_something_else_is_mended():
    model = healthy()
    saved = bits(model)
    nn.init.constant_(model[2].weight, 0.1)
    sz.fix_(model, checked(model))
    assert model[2].weight.std() > 0
    for name in ("0.weight", "0.bias", "4.bias"):
        assert torch.equal(model.state_dict()[name], saved[name])


def test_a_report_of_a_factory_knows_the_batch_that_the_factory_gave():
    def build():
        torch.manual_seed(0)
        model = healthy()
        constant(model)
        return model, X, nn.functional.cross_entropy

    report = sz.check(build, target=LABELS)
    model = build()[0]
    plan = sz.fix_(model, report)
    assert plan.before
    assert checked(model).errors == ()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda model, report: sz.fix_(lambda: model, report), "model: expected a torch.nn.Module, got function"),
        (lambda model, _: sz.fix_(model, "report"), "report: expected what sz.check returned, got str"),
        (lambda model, report: sz.fix_(model, sz.Report.from_json(report.to_json())), "no batch is known"),
        (lambda _, __: sz.fans(None), "model: expected a torch.nn.Module, got NoneType"),
        (lambda _, __: sz.fans(healthy, X), "model: expected a torch.nn.Module, got function"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(call, told):
    model = healthy()
    with pytest.raises(sz.StepzeroError, match=told):
        call(model, checked(model))


def test_frozen_weights_are_left():
    model = healthy()
    model[0].requires_grad_(False)
    saved = model[0].weight.clone()
    constant_rest = model[2].weight
    nn.init.constant_(constant_rest, 0.1)
    sz.fix_(model, checked(model))
    assert torch.equal(model[0].weight, saved)


def test_modes_gradients_and_random_state_are_left():
    model = healthy()
    constant(model)
    model[1].eval()
    report, state = checked(model), torch.get_rng_state()
    sz.fix_(model, report)
    assert [module.training for module in model] == [True, False, True, True, True]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_fix_that_does_not_help_is_taken_back(monkeypatch):
    from stepzero.repair import apply

    model = healthy()
    constant(model)
    report, saved = checked(model), bits(model)
    monkeypatch.setattr(apply, "draw", lambda *_: None)
    with pytest.raises(IncompleteError, match="all weights were put back"):
        sz.fix_(model, report)
    assert same(model, saved)


def test_a_report_from_elsewhere_needs_the_batch():
    model = healthy()
    constant(model)
    report = sz.Report.from_json(checked(model).to_json())
    with pytest.raises(ConfigError, match="pass the batch"):
        sz.fix_(model, report)
    sz.fix_(model, report, X, loss="cross_entropy", target=LABELS)
    assert checked(model).errors == ()


def faint(std=0.11):
    """Features of the head have a standard deviation near 0.1: every weight is some three times below its law."""
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    with torch.no_grad():
        for number, layer in enumerate(model):
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=std, generator=torch.Generator().manual_seed(number))
                nn.init.zeros_(layer.bias)
    return model


def test_a_head_does_not_make_up_for_a_signal_that_fades_in_front_of_it():
    """Redrawn, it has the standard deviation of its law: 0.8 / sqrt(16) times the gain of tanh."""
    model = faint()
    with torch.no_grad():
        model[-1].weight.fill_(float("nan"))
    plan = sz.fix_(model, checked(model))
    (entry,) = [entry for entry in plan.entries if entry.name == "3.weight"]
    assert entry.role == "head"
    assert float(model[-1].weight.detach().std()) == pytest.approx(entry.std, rel=0.5)
    assert [name for name, _ in plan.skipped] == ["3.weight"]


def test_a_head_is_brought_to_its_target_where_all_weights_are_redrawn():
    """Then what stands in front of it has unit size, as after `init_`."""
    model = faint()
    constant(model)
    sz.fix_(model, checked(model))
    assert float(model(X).detach().std()) == pytest.approx(0.8, abs=0.05)


def test_a_head_as_loud_as_what_it_reads_is_made_quieter():
    """Where features are too large, the law alone is not enough: the logits come out at 0.8."""
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 3))
    with torch.no_grad():
        model[0].weight.mul_(30)
        model[1].weight.fill_(float("nan"))
    sz.fix_(model, checked(model))
    assert float(model(X).detach().std()) == pytest.approx(0.8, abs=0.05)


def test_a_zero_head_is_drawn_where_all_weights_are_zero():
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.zero_()
    sz.fix_(model, checked(model))
    assert all(float(layer.weight.detach().std()) > 0.1 for layer in model[::2])


def test_a_zero_head_is_kept_where_one_layer_is_broken():
    model = healthy()
    with torch.no_grad():
        model[4].weight.zero_()
        model[2].weight[0, 0] = float("nan")
    sz.fix_(model, checked(model))
    assert not model[4].weight.any()
    assert bool(model[2].weight.isfinite().all())
