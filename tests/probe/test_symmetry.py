"""Which units are copies, for how long: planted networks, real optimizers, and every way to write a layer."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from stepzero.measure.redundancy import Stage, coarsest_partition
from stepzero.probe.build import build
from stepzero.probe.subject import subject_of
from stepzero.probe.symmetry import symmetry
from tests.probe.models import CASES
from tests.probe.observing import Net, seeded
from tests.probe.planting import (
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

SGD = lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3)  # noqa: E731 - a name
ADAM = lambda parameters: torch.optim.Adam(parameters, lr=1e-2)  # noqa: E731 - for a table of optimizers
ADAM_L2 = lambda parameters: torch.optim.Adam(parameters, lr=1e-2, weight_decay=1e-1)  # noqa: E731 - as above


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


# -- every way to write a layer -------------------------------------------------------------------------------------


def convolution():
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )
    with torch.no_grad():
        for row in (model[0].weight, model[0].bias):
            row[5] = row[2]
        model[3].weight[:, 5] = model[3].weight[:, 2]
    return model, seeded(6, 3, 8, 8), ("0.weight", (2, 5), "0")


def convolution_into_linear():
    model, batch, _ = convolution()
    with torch.no_grad():
        model[0].weight[5] += 0.1
        model[3].weight[1] = model[3].weight[0]
        model[3].bias.fill_(0.2)
        columns = model[6].weight.view(3, 4, 16)
        columns[:, 1] = columns[:, 0]
    return model, batch, ("3.weight", (0, 1), "3")


def einsum_experts():
    def forward(self, x):
        hidden = torch.tanh(torch.einsum("bi,eih->beh", x, self.w))
        return torch.einsum("beh,eho->bo", hidden, self.v)

    model = Net(forward, w=seeded(3, 6, 2) / 2, v=seeded(3, 2, 3, seed=1))
    model.w.data[2], model.v.data[2] = model.w.data[0], model.v.data[0]
    return model, X, ("w", (0, 4), None)


def bmm_experts():
    def forward(self, x):
        return torch.bmm(torch.tanh(torch.bmm(x.expand(3, -1, -1), self.w)), self.v).mean(0)

    model, batch, planted = einsum_experts()
    return Net(forward, w=model.w.data, v=model.v.data), batch, planted


def einsum_weight():
    def forward(self, x):
        return self.head(torch.tanh(torch.einsum("oi,bi->bo", self.w, x)))

    model = Net(forward, w=seeded(8, 6) / 2, head=nn.Linear(8, 3))
    model.w.data[6] = model.w.data[2]
    model.head.weight.data[:, 6] = model.head.weight.data[:, 2]
    return model, X, ("w", (2, 6), None)


def transposed_matrix():
    def forward(self, x):
        return torch.tanh(x @ self.w + self.b) @ self.v

    model = Net(forward, w=seeded(6, 8) / 2, b=torch.full((8,), 0.1), v=seeded(8, 3, seed=1))
    model.w.data[:, 6] = model.w.data[:, 2]
    model.v.data[6] = model.v.data[2]
    return model, X, ("w", (2, 6), None)


def tied():
    model = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 10, bias=False))
    model[3].weight = model[0].weight
    with torch.no_grad():
        model[1].weight[6] = model[1].weight[2]
        model[1].bias[6] = model[1].bias[2]
        model[0].weight[:, 6] = model[0].weight[:, 2]  # columns of the head, and coordinates of the embedding
        model[1].weight[:, 6] = model[1].weight[:, 2]
    return model, torch.arange(30).view(6, 5) % 10, ("1.weight", (2, 6), "1")


def reused():
    def forward(self, x):
        hidden = torch.tanh(self.enter(x))
        for _ in range(3):
            hidden = torch.tanh(self.again(hidden))
        return self.leave(hidden)

    model = Net(forward, enter=nn.Linear(6, 8), again=nn.Linear(8, 8), leave=nn.Linear(8, 2))
    with torch.no_grad():
        for each in (model.enter.weight, model.enter.bias, model.again.weight, model.again.bias):
            each[6] = each[2]
        for each in (model.again.weight, model.leave.weight):
            each[:, 6] = each[:, 2]
    return model, X, ("again.weight", (2, 6), "again")


def weight_norm():
    model = copied(stack(6, 8, 8, 3), 0, 2, 6)
    parametrizations.weight_norm(model[0])
    return model, X, ("0.parametrizations.weight.original1", (2, 6), "0")


def old_weight_norm():
    model = copied(stack(6, 8, 8, 3), 0, 2, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(model[0])
    return model, X, ("0.weight_v", (2, 6), "0")


def frozen_columns():
    model = copied(stack(6, 8, 8, 3), 0, 2, 6)
    model[2].requires_grad_(False)
    return model, X, ("0.weight", (2, 6), "0")


def long_memory():
    lstm = nn.LSTM(6, 8, batch_first=True)
    model = Net(lambda self, x: self.head(self.lstm(x)[0][:, -1]), lstm=lstm, head=nn.Linear(8, 3))
    with torch.no_grad():
        for each in (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0):
            gates = each.unflatten(0, (4, 8))
            gates[:, 6] = gates[:, 2]
        for each in (lstm.weight_hh_l0, model.head.weight):
            each[:, 6] = each[:, 2]
    return model, seeded(6, 5, 6), ("lstm.weight_ih_l0", (2, 6), None)


def residual_stream():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

        def forward(self, x):
            return x + self.down(F.gelu(self.up(self.norm(x))))

    model = nn.Sequential(nn.Linear(6, 8), Block(), nn.Linear(8, 3))
    with torch.no_grad():
        up, down = model[1].up, model[1].down
        for row in (up.weight, up.bias):
            row[6] = row[2]
        down.weight[:, 6] = down.weight[:, 2]
    return model, X, ("1.up.weight", (2, 6), "1.up")


WAYS = [
    convolution,
    convolution_into_linear,
    einsum_experts,
    bmm_experts,
    einsum_weight,
    transposed_matrix,
    tied,
    reused,
    weight_norm,
    old_weight_norm,
    frozen_columns,
    long_memory,
    residual_stream,
]


@pytest.mark.parametrize("way", WAYS)
def test_twins_are_found_however_the_layer_is_written(way):
    model, batch, (name, pair, place) = way()
    twins = by_level(found(model, batch))["twins"]
    assert pair in units(twins, name)
    assert all(block.gap < 1e-12 for block in twins)
    if place is not None and way is not old_weight_norm:
        for optimizer in (SGD, ADAM):
            assert gap(responses(trained(model, batch, square, optimizer), place, batch), pair) < 1e-10


@pytest.mark.parametrize("way", WAYS)
def test_the_same_layers_drawn_are_all_different(way):
    model, batch, (name, _, _) = way()
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    fact = found(model, batch)
    assert not fact.blocks
    assert all(width.distinct == width.units for width in fact.widths)
    assert name in distinct(fact)


def heads():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(16, 4, batch_first=True)
    model = Net(lambda self, x: self.attention(x, x, x, need_weights=False)[0], attention=attention)
    with torch.no_grad():
        for start in (0, 16, 32):
            attention.in_proj_weight[start + 8 : start + 12] = attention.in_proj_weight[start : start + 4]
        attention.out_proj.weight[:, 8:12] = attention.out_proj.weight[:, :4]
    return model, seeded(4, 6, 16)


def test_copied_heads_of_a_packed_attention_are_twins_in_query_key_and_value():
    model, batch = heads()
    twins = units(by_level(found(model, batch))["twins"], "attention.in_proj_weight")
    assert twins == [(start + unit, start + unit + 8) for start in (0, 16, 32) for unit in range(4)]
    moved = trained(model, batch, square, ADAM).attention.in_proj_weight
    assert float((moved[8:12] - moved[:4]).detach().abs().max()) < 1e-12


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


# -- known gaps -----------------------------------------------------------------------------------------------------


def test_copies_whose_outputs_the_loss_treats_alike():
    first = stack(6, 4, 1)
    model = Net(lambda self, x: torch.cat([self.one(x), self.two(x)], 1), one=first, two=copy.deepcopy(first))
    target = seeded(24, 1, seed=3)

    def regress(output):
        return (output - target[: len(output)].to(output.dtype)).square().mean()

    moved = trained(model, X, regress, ADAM)
    assert torch.equal(moved.one[0].weight, moved.two[0].weight)
    assert by_level(found(model, X, regress))["twins"]


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(6), nn.InstanceNorm2d(6), nn.GroupNorm(6, 6), nn.InstanceNorm2d(6, affine=True)]
)
def test_channels_that_differ_by_a_bias_which_the_norm_takes_off(norm):
    model, batch, _ = convolution()
    model[1] = norm
    with torch.no_grad():
        model[0].bias[5] += 1
    assert gap(responses(trained(model, batch, square, ADAM), "1", batch), (2, 5)) < 1e-10
    assert units(by_level(found(model, batch))["twins"], "0.weight") == [(2, 5)]


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm([6, 6, 6]), nn.GroupNorm(2, 6), nn.BatchNorm2d(6, track_running_stats=True)]
)
def test_a_bias_counts_in_front_of_a_norm_over_several_channels_or_where_others_read_it_too(norm):
    model, batch, _ = convolution()
    with torch.no_grad():
        model[0].bias[5] += 1
    model[1] = norm
    if isinstance(norm, nn.BatchNorm2d):
        head = copy.deepcopy(model)

        def forward(self, x):
            first = self.net[0](x)
            return self.net[1:](first) + first.square().mean((2, 3))[:, :3]

        model = Net(forward, net=head)
    fact = found(model, batch)
    assert "twins" not in by_level(fact)
    assert (
        gap(
            responses(
                trained(model, batch, square, ADAM), "1" if "1" in dict(model.named_modules()) else "net.1", batch
            ),
            (2, 5),
        )
        > 1e-6
    )


@pytest.mark.parametrize(("kind", "gates_of"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_copies_in_the_first_of_two_recurrent_layers(kind, gates_of):
    lstm = kind(6, 8, 2, batch_first=True)
    model = Net(lambda self, x: self.head(self.lstm(x)[0][:, -1]), lstm=lstm, head=nn.Linear(8, 3))
    with torch.no_grad():
        for each in (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0):
            gates = each.unflatten(0, (gates_of, 8))
            gates[:, 6] = gates[:, 2]
        for each in (lstm.weight_hh_l0, lstm.weight_ih_l1):
            each[:, 6] = each[:, 2]
    batch = seeded(6, 5, 6)
    moved = trained(model, batch, square, ADAM).lstm.weight_ih_l0
    assert float((moved[6] - moved[2]).detach().abs().max()) < 1e-12
    fact = found(model, batch)
    assert units(by_level(fact)["twins"], "lstm.weight_ih_l0") == [(2, 6)]
    assert distinct(fact)["lstm.weight_ih_l1"] == 8
    lstm.weight_ih_l1.data[0, 6] += 0.5
    assert "twins" not in by_level(found(model, batch))


# -- the model, and models that refuse ------------------------------------------------------------------------------


def bits(model):
    return {name: (tensor.detach().clone(), tensor.grad) for name, tensor in model.state_dict(keep_vars=True).items()}


@pytest.mark.parametrize("way", [convolution, long_memory, weight_norm])
def test_the_model_is_bit_identical_afterwards(way):
    model, batch, _ = way()
    before, modes = bits(model), [module.training for module in model.modules()]
    state = torch.get_rng_state()
    found(model, batch)
    assert all(
        torch.equal(tensor, before[name][0]) and tensor.grad is before[name][1]
        for name, (tensor, _) in bits(model).items()
    )
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32


class Uncopyable(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.running = copied(stack(6, 8, 8, 3), 0, 1, 4), (each for each in "ab")

    def forward(self, x):
        return self.net(x)


def test_a_model_that_cannot_be_copied_says_so():
    fact = symmetry(subject_of(Uncopyable(), X, square))
    assert not fact.ran
    assert "cannot be copied" in fact.reason
    assert "factory" in fact.reason


def test_a_factory_stands_in_for_the_copy_and_brings_the_values_that_are_checked():
    subject = build(Uncopyable, X, square, None, name="", seed=0)
    assert units(symmetry(subject).blocks, "net.0.weight") == [(1, 4)]
    with torch.no_grad():
        subject.model.net[0].weight[4].add_(0.5)
    assert symmetry(subject).blocks == ()


def test_a_model_that_casts_inside_runs_in_float64_throughout():
    def forward(self, x):
        hidden = torch.tanh(self.a(x.float())).to(torch.float32)
        return self.b(hidden.half().float().type_as(x)) + x.new_zeros(1, dtype=torch.float32)

    model = Net(forward, a=nn.Linear(6, 8), b=nn.Linear(8, 3))
    fact = found(model)
    assert fact.blocks == ()
    with torch.no_grad():
        for each in (model.a.weight, model.a.bias):
            each[5] = each[1]
        model.b.weight[:, 5] = model.b.weight[:, 1]
    assert units(found(model).blocks, "a.weight") == [(1, 5)]


def test_a_model_that_fails_in_float64_gives_a_reason_of_one_line():
    def forward(self, x):
        hidden = self.a(x)
        if hidden.dtype == torch.float64:
            raise TypeError("only float32\nis spoken here")
        return hidden

    fact = symmetry(subject_of(Net(forward, a=nn.Linear(6, 8)), X, square))
    assert not fact.ran
    assert fact.blocks == fact.widths == ()
    assert "TypeError: only float32 is spoken here" in fact.reason


@pytest.mark.parametrize("name", CASES)
def test_no_case_of_the_zoo_of_forwards_has_copies(name):
    model, batch, loss = CASES[name]()
    fact = symmetry(subject_of(model, batch, loss))
    assert fact.ran, fact.reason
    assert fact.blocks == ()
