"""`init_` once more: equal bits on what has not changed, a refusal on what has."""

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.core.errors import TargetError
from tests.repair.judging import bits, same
from tests.repair.starting import ALL, LABELS, X, loss_of, mlp


@pytest.mark.parametrize("with_batch", [True, False])
@pytest.mark.parametrize("name", ALL)
def test_a_second_and_a_third_call_give_equal_bits(name, with_batch):
    make, batch, target = ALL[name]
    model = make()
    given = {"batch": batch, "loss": loss_of(name), "target": target} if with_batch else {}
    sz.init_(model, **given)
    saved = bits(model)
    for _ in range(2):
        sz.init_(model, **given)
        assert same(model, saved)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_narrow_and_wide_numbers_too(dtype):
    model = mlp().to(dtype)
    sz.init_(model, X.to(dtype))
    saved = bits(model)
    sz.init_(model, X.to(dtype))
    assert same(model, saved)


def test_another_batch_of_the_same_memory_is_another_start():
    model, batch = mlp(), X.clone()
    sz.init_(model, batch)
    first = bits(model)
    batch.mul_(torch.linspace(0.1, 2, 8))
    sz.init_(model, batch)
    assert not same(model, first)
    other = mlp()
    sz.init_(other, batch)
    assert same(model, bits(other))


def test_other_targets_give_the_head_another_bias():
    model, other = mlp(), mlp()
    sz.init_(model, X, loss="cross_entropy", target=LABELS)
    rare = (torch.arange(64) % 8 == 0).long()
    for each in (model, other):
        sz.init_(each, X, loss="cross_entropy", target=rare)
    assert torch.equal(model[4].bias, other[4].bias)


def test_a_dry_run_writes_nothing_that_is_counted():
    model = mlp()
    output = model(X).square().mean()
    counts = [parameter._version for parameter in model.parameters()]
    sz.init_(model, X, dry_run=True)
    assert [parameter._version for parameter in model.parameters()] == counts
    output.backward()  # the user's graph holds the weights it was made of
    sz.init_(model, X)
    sz.init_(model, X, dry_run=True)
    sz.init_(model, X)


@pytest.mark.parametrize("change", ["step", "load"])
def test_a_trained_or_loaded_model_is_refused(change):
    model = mlp()
    sz.init_(model, X)
    if change == "step":
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        model(X).sum().backward()
        optimizer.step()
    else:
        model.load_state_dict(mlp().state_dict())
    saved = bits(model)
    with pytest.raises(TargetError, match="force=True"):
        sz.init_(model, X)
    assert same(model, saved)
    sz.init_(model, X, force=True)
    assert not same(model, saved)


def test_another_seed_draws_other_weights():
    models = [mlp(), mlp()]
    for seed, model in enumerate(models):
        sz.init_(model, X, seed=seed)
    assert not torch.equal(models[0][0].weight, models[1][0].weight)


def test_the_old_values_do_not_matter():
    models = [mlp(), mlp()]
    nn.init.normal_(models[1][0].weight, std=50)
    for model in models:
        sz.init_(model, X)
    assert same(models[0], bits(models[1]))


def test_an_inserted_layer_leaves_the_others_bit_equal():
    class Named(nn.Module):
        def __init__(self, more=False):
            super().__init__()
            self.first = nn.Linear(8, 16)
            if more:
                self.middle = nn.Linear(16, 16)
            self.last = nn.Linear(16, 3)

    small, large = Named(), Named(more=True)
    sz.init_(small)
    sz.init_(large)
    assert torch.equal(small.first.weight, large.first.weight)
    assert torch.equal(small.last.weight, large.last.weight)


def test_a_raising_forward_leaves_every_bit():
    class Dies(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.count = mlp(), 0

        def forward(self, x):
            self.count += 1
            if not self.body[0].bias.any():  # after the draw
                raise RuntimeError("not today")
            return self.body(x)

    model = Dies()
    saved = bits(model)
    with pytest.raises(RuntimeError, match="not today"):
        sz.init_(model, X)
    assert same(model, saved)
    assert model.count == 0


def test_a_write_through_data_is_felt():
    model = nn.Linear(4, 2)
    sz.init_(model, torch.ones(3, 4))
    model.weight.data.add_(1.0)
    with pytest.raises(sz.TargetError, match="have changed since"):
        sz.init_(model, torch.ones(3, 4))
