"""`init_`: what holds for every model: one entry a tensor, equal bits, and nothing else touched."""

import copy

import pytest
import torch

import stepzero as sz
from tests.repair.judging import bits, same
from tests.repair.starting import ALL, loss_of, started


@pytest.mark.parametrize("with_batch", [True, False])
@pytest.mark.parametrize("name", ALL)
def test_every_parameter_and_buffer_has_exactly_one_entry(name, with_batch):
    make, batch, _ = ALL[name]
    model = make()
    plan = sz.init_(model, batch) if with_batch else sz.init_(model)
    named = [other for entry in plan.entries for other in (entry.name, *entry.aliases)]
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    assert sorted(named) == sorted(name for name, _ in tensors)
    assert all(entry.why for entry in plan.entries)


@pytest.mark.parametrize("name", ALL)
def test_the_written_model_is_what_the_plan_says(name):
    model, plan = started(name)
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    for entry in plan.entries:
        values = tensors[entry.name]
        assert bool(torch.isfinite(values).all())
        if entry.action == "set" and entry.value is not None:
            mask = torch.ones(len(values), dtype=torch.bool) if values.dim() else torch.ones((), dtype=torch.bool)
            for start, stop, value in entry.values:
                assert bool((values[start:stop] == torch.tensor(value, dtype=values.dtype)).all())
                mask[start:stop] = False
            assert bool((values[mask] == entry.value).all())


@pytest.mark.parametrize("name", ALL)
def test_twice_on_copies_gives_equal_bits(name):
    make, batch, target = ALL[name]
    model = make()
    other = copy.deepcopy(model)
    for each in (model, other):
        sz.init_(each, batch, loss=loss_of(name), target=target)
    assert same(model, bits(other))


@pytest.mark.parametrize("name", ALL)
def test_once_more_by_force_gives_equal_bits(name):
    _make, batch, target = ALL[name]
    model, _ = started(name)
    saved = bits(model)
    sz.init_(model, batch, loss=loss_of(name), target=target, force=True)
    assert same(model, saved)


@pytest.mark.parametrize("name", ALL)
def test_a_dry_run_leaves_every_bit_and_gives_the_same_plan(name):
    make, batch, target = ALL[name]
    model = make()
    saved = bits(model)
    dry = sz.init_(model, batch, loss=loss_of(name), target=target, dry_run=True)
    assert dry.is_dry_run
    assert same(model, saved)
    wet = sz.init_(model, batch, loss=loss_of(name), target=target)
    assert (dry.entries, dry.scalings, dry.skipped) == (wet.entries, wet.scalings, wet.skipped)


@pytest.mark.parametrize("name", ALL)
def test_random_state_modes_hooks_gradients_and_batch_are_left(name):
    make, batch, target = ALL[name]
    model = make()
    next(iter(model.children())).eval()
    state = torch.get_rng_state()
    modes = [module.training for module in model.modules()]
    asks = [parameter.requires_grad for parameter in model.parameters()]
    saved = batch.clone()
    sz.init_(model, batch, loss=loss_of(name), target=target)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == asks
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert torch.equal(batch, saved)


@pytest.mark.parametrize("name", ALL)
def test_the_start_has_no_errors(name):
    _make, batch, target = ALL[name]
    model, _ = started(name)
    report = sz.check(model, batch, loss_of(name), target)
    assert report.errors == ()
