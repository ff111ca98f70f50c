"""Which units are copies, for how long: planted networks against real optimizers."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stepzero.measure.redundancy import Stage, coarsest_partition
from stepzero.probe.replica import Replica
from tests.probe.observing import Net, seeded
from tests.probe.planting import (
    ADAM,
    ADAM_L2,
    SGD,
    X,
    by_level,
    copied,
    distinct,
    found,
    gap,
    lumped,
    responses,
    square,
    stack,
    trained,
    units,
)

# -- the levels, against real training ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("optimizer", [SGD, ADAM, ADAM_L2])
def test_twins_are_those_that_every_optimizer_keeps(dtype, optimizer):
    model, batch = copied(stack(6, 8, 8, 3), 0, 1, 4).to(dtype), X.to(dtype)
    (block,) = found(model, batch).blocks
    assert (block.level, block.members[0].units, block.confirmed) == ("twins", (1, 4), "elementwise")
    answers = responses(trained(model, batch, square, optimizer), "0", batch)
    assert gap(answers, (1, 4)) < 1e-12
    assert gap(answers, (1, 5)) > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_lumped_units_are_kept_by_adam_and_parted_by_weight_decay_in_its_gradient(seed):
    model = lumped(seed)
    fact = found(model, X.double())
    assert {block.level for block in fact.blocks if block.members[0].parameter == "2.weight"} == {"lumped"}
    assert units(fact.blocks, "2.weight") == [(0, 1, 2), (3, 4, 5)]
    assert {block.confirmed for block in fact.blocks if block.members[0].parameter == "2.weight"} == {"linear"}
    assert distinct(fact) == {"0.weight": 2, "2.weight": 2, "4.weight": 2}
    rows = model[2].weight.detach()
    assert float((rows[0] - rows[1]).norm() / rows[0].norm()) > 0.01
    for optimizer, steps, kept in ((SGD, 2, True), (ADAM, 2, True), (ADAM_L2, 30, False)):
        moved = responses(trained(model, X, square, optimizer, steps=steps), "2", X)
        assert (gap(moved, (0, 1, 2)) < 1e-9) == kept


def test_equal_rows_part_at_the_first_step_in_as_many_directions_as_there_are_outputs():
    for outputs in (1, 2, 5):
        model = stack(6, 8, outputs)
        with torch.no_grad():
            model[0].weight.copy_(model[0].weight[:1].expand(8, 6))
            model[0].bias.fill_(0.1)
        (block,) = found(model).blocks
        assert (block.level, block.members[0].units, block.rank) == ("rows", tuple(range(8)), outputs)
        rows = trained(model, X, square, SGD, steps=1)[0].weight - model[0].weight.double() * (1 - 1e-4)
        assert int(torch.linalg.matrix_rank(rows, rtol=1e-6)) == outputs
        assert gap(responses(trained(model, X, square, SGD), "0", X), (0, 1)) > 1e-3


@pytest.mark.parametrize("optimizer", [SGD, ADAM, ADAM_L2])
@pytest.mark.parametrize("phi", [nn.Tanh, nn.Softsign])
def test_mirrored_units_stay_mirrored_under_every_optimizer(phi, optimizer):
    model = copied(stack(6, 8, 8, 3, phi=phi), 0, 1, 4, -1.0)
    (block,) = found(model).blocks
    assert (block.level, block.members[0].units, block.confirmed) == ("mirrored", (1, 4), "elementwise")
    assert gap(responses(trained(model, X, square, optimizer), "0", X), (1, 4), -1.0) < 1e-12


@pytest.mark.parametrize("factor", [3.0, 0.25])
def test_scaled_units_stay_proportional_under_gradient_descent_and_not_under_adam(factor):
    model = copied(stack(6, 8, 8, 3, phi=nn.ReLU).double(), 0, 1, 4, factor)
    (block,) = found(model, X.double()).blocks
    assert (block.level, block.members[0].units, block.confirmed) == ("scaled", (1, 4), "linear")
    assert gap(responses(trained(model, X, square, SGD), "0", X), (1, 4), factor) < 1e-12
    assert gap(responses(trained(model, X, square, ADAM), "0", X), (1, 4), factor) > 1e-4
    assert distinct(found(model, X.double()))["0.weight"] == 8


@pytest.mark.parametrize("factor", [-1.0, -2.0])
def test_opposite_rows_behind_a_relu_are_different_units(factor):
    """Looks-linear: relu(z) and relu(-z) are never on together."""
    assert found(copied(stack(6, 8, 8, 3, phi=nn.ReLU), 0, 1, 4, factor)).blocks == ()


def test_a_multiple_behind_tanh_is_no_relation():
    assert found(copied(stack(6, 8, 8, 3), 0, 1, 4, 3.0)).blocks == ()


@settings(max_examples=25)
@given(data=st.data(), phi=st.sampled_from([nn.Tanh, nn.ReLU, nn.GELU, nn.Sigmoid]), seed=st.integers(0, 99))
def test_planted_groups_are_found_and_nothing_else(data, phi, seed):
    width = data.draw(st.integers(2, 9))
    labels = data.draw(st.lists(st.integers(0, width - 1), min_size=width, max_size=width))
    model = stack(6, width, 4, 3, phi=phi, seed=seed)
    model[0].bias.data.abs_()
    for unit, label in enumerate(labels):
        copied(model, 0, labels.index(label), unit)
    planted = {tuple(u for u in range(width) if labels[u] == label) for label in labels}
    fact = found(model)
    live = (phi is not nn.ReLU) or bool((responses(model, "1", X) > 0).any(1).all())
    if live:
        assert set(units(by_level(fact).get("twins", []), "0.weight")) == {group for group in planted if len(group) > 1}
        assert distinct(fact)["0.weight"] == len(planted)
        assert set(by_level(fact)) <= {"twins"}


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), width=st.integers(2, 5), layers=st.integers(1, 3))
def test_the_probe_and_colour_refinement_count_the_same(seed, width, layers):
    """Weights of few values, in which twins and lumps occur by chance; one reads data, the other weights alone."""
    draw = torch.Generator().manual_seed(seed)
    model = stack(6, *[width] * layers, 2).double()
    with torch.no_grad():
        for layer in model[::2]:
            values = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
            layer.weight.copy_(values[torch.randint(0, 2 + seed % 2, layer.weight.shape, generator=draw)])
            layer.bias.fill_(0.1)
        model[0].weight[:, 1:] = model[0].weight[:, :1]  # or first rows would hardly ever agree
    stages = [Stage(layer.weight.detach()[..., None], layer.bias.detach()[:, None]) for layer in model[::2]]
    colours = [max(each) + 1 for each in coarsest_partition(stages)]
    counted = distinct(found(model, X.double()))
    assert [counted[f"{2 * layer}.weight"] for layer in range(layers)] == colours


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model[0].bias.data[4].add_(0.5),
        lambda model: model[0].weight.data[4, 0].add_(0.1),
        lambda model: model[2].weight.data[0, 4].add_(0.1),
    ],
    ids=["bias", "row", "column"],
)
def test_one_difference_is_enough(change):
    model = copied(stack(6, 8, 8, 3), 0, 1, 4)
    change(model)
    fact = found(model)
    assert distinct(fact)["0.weight"] == 8
    assert not by_level(fact).keys() & {"twins", "lumped", "mirrored"}


@pytest.mark.parametrize("value", [0.1, -0.3])
@pytest.mark.parametrize("phi", [nn.Tanh, nn.Sigmoid, nn.GELU])
def test_a_constant_start_is_one_unit_wide(phi, value):
    model = stack(6, 8, 8, 3, phi=phi)
    for layer in model[::2]:
        nn.init.constant_(layer.weight, value)
        nn.init.zeros_(layer.bias)
    assert distinct(found(model)) == {"0.weight": 1, "2.weight": 1, "4.weight": 3}
    assert gap(responses(trained(model, X, square, ADAM, steps=5), "2", X), tuple(range(8))) < 1e-12


@pytest.mark.parametrize(("phi", "steps"), [(nn.Sigmoid, (2, 1)), (nn.Tanh, None)])
def test_all_zero_is_one_unit_wide_also_where_the_copies_must_be_awaited(phi, steps):
    """theory 1.6: under a sigmoid zero weights move, layer by layer, one unit wide; under tanh they never do."""
    model = stack(6, 8, 8, 3, phi=phi)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    fact = found(model)
    assert distinct(fact) == {"0.weight": 1, "2.weight": 1, "4.weight": 3}
    twins = {block.members[0].parameter: block.step for block in by_level(fact).get("twins", [])}
    assert twins == (dict(zip(("0.weight", "2.weight"), steps, strict=True)) if steps else {})


def test_a_zero_head_and_equal_columns_are_no_symmetry():
    model = stack(6, 8, 8, 3)
    nn.init.zeros_(model[4].weight)
    fact = found(model)
    assert distinct(fact) == {"0.weight": 8, "2.weight": 8, "4.weight": 3}
    assert [(block.level, block.is_zero) for block in fact.blocks] == [] or {
        (block.level, block.is_zero) for block in fact.blocks
    } == {("rows", True)}


def zero_branches(count):
    """Layers that are zero and behind a gate of zero, each: the first gradient comes two steps later."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.enter, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
            self.inner, self.last = (nn.ModuleList(nn.Linear(8, 8) for _ in range(count)) for _ in range(2))
            for layer in (*self.inner, *self.last):
                nn.init.zeros_(layer.weight)

        def forward(self, x):
            h = self.enter(x)
            for inner, last in zip(self.inner, self.last, strict=True):
                h = h + last(torch.tanh(inner(h)))
            return self.head(h)

    return Branches()


@pytest.mark.parametrize("count", [1, 3])
def test_sleeping_units_are_told_apart_by_one_batch_when_they_wake(count, monkeypatch):
    passes = []
    run = Replica.run
    monkeypatch.setattr(Replica, "run", lambda self, batch=0, **as_: passes.append(batch) or run(self, batch, **as_))
    fact = found(zero_branches(count))
    assert {width.distinct for width in fact.widths} <= {3, 8}
    assert {block.is_zero for block in fact.blocks} <= {True}
    assert len(passes) <= 3
    assert set(passes) == {0}


def test_copies_that_sleep_are_awaited():
    model = zero_branches(1)
    with torch.no_grad():
        for parameter in (model.enter.weight, model.enter.bias):
            parameter[4] = parameter[1]
        model.head.weight[:, 4] = model.head.weight[:, 1]
        model.inner[0].bias.zero_()
        model.last[0].bias.zero_()
    blocks = {block.members[0].parameter: block.members[0].units for block in found(model).blocks if not block.is_zero}
    assert blocks == {"enter.weight": (1, 4)}


def test_copies_in_another_order_of_units_are_found_too():
    model = copied(stack(6, 8, 8, 3), 0, 1, 4)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight[order])
        model[0].bias.copy_(model[0].bias[order])
        model[2].weight.copy_(model[2].weight[:, order])
    place = {int(unit): new for new, unit in enumerate(order)}
    assert units(found(model).blocks, "0.weight") == [tuple(sorted((place[1], place[4])))]


def test_what_is_told_does_not_depend_on_the_scale_of_loss_or_batch():
    model = copied(stack(6, 8, 8, 3), 0, 1, 4)
    for loss in (lambda output: 1e-12 * square(output), lambda output: 1e12 * square(output)):
        assert units(found(model, X, loss).blocks, "0.weight") == [(1, 4)]


def test_a_frozen_layer_is_counted_and_forms_no_block():
    model = copied(stack(6, 8, 8, 3), 0, 1, 4)
    model[0].requires_grad_(False)
    fact = found(model)
    assert fact.blocks == ()
    assert distinct(fact)["0.weight"] == 7


def test_units_of_two_modules_that_read_one_input_form_one_block():
    first = stack(6, 4, 2)
    model = Net(lambda self, x: self.first(x) + self.other(x), first=first, other=copy.deepcopy(first))
    fact = found(model)
    assert {tuple(member.parameter for member in block.members) for block in fact.blocks} == {
        ("first.0.weight", "other.0.weight"),
        ("first.2.weight", "other.2.weight"),
    }
    assert {each.parameters for each in fact.siblings} == {
        ("first.0.weight", "other.0.weight"),
        ("first.2.weight", "other.2.weight"),
    }
    assert not any(each.is_frozen for each in fact.siblings)
    with torch.no_grad():
        model.other[0].weight[0, 0] += 1
    assert len(found(model).siblings) == 1


def test_a_frozen_sibling_is_marked():
    first = stack(6, 4, 2)
    model = Net(lambda self, x: self.first(x) - self.other(x), first=first, other=copy.deepcopy(first))
    model.other.requires_grad_(False)
    assert all(each.is_frozen for each in found(model).siblings)
    assert found(model).blocks == ()


def test_copies_whose_outputs_the_loss_treats_alike():
    first = stack(6, 4, 1)
    model = Net(lambda self, x: torch.cat([self.one(x), self.two(x)], 1), one=first, two=copy.deepcopy(first))
    target = seeded(24, 1, seed=3)

    def regress(output):
        return (output - target[: len(output)].to(output.dtype)).square().mean()

    moved = trained(model, X, regress, ADAM)
    assert torch.equal(moved.one[0].weight, moved.two[0].weight)
    assert by_level(found(model, X, regress))["twins"]
