"""The first pass doubts whenever there is something to find, and not without a reason."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stepzero.api import trace
from stepzero.measure import suspicion
from stepzero.probe.subject import subject_of
from stepzero.probe.symmetry import symmetry
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, copied, lumped, square, stack
from tests.probe.sleeping import TOKENS, Attends, Gated, Rezero, only_biases, zeroed

PHIS = st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Sigmoid])


def copies(model, batch=X, loss=square):
    return suspicion.of_copies(trace(model, batch, loss))


def sleep(model, batch=X, loss=square):
    return suspicion.of_sleep(trace(model, batch, loss))


# -- copies -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    widths=st.lists(st.integers(2, 24), min_size=1, max_size=3),
    phi=PHIS,
    place=st.tuples(st.integers(0, 2), st.integers(0, 99), st.integers(0, 99)),
    factor=st.sampled_from([1.0, 1.0, -1.0, 3.0]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_a_planted_copy_or_multiple_is_never_missed(widths, phi, place, factor, dtype, seed):
    model = stack(6, *widths, 3, phi=phi, seed=seed).to(dtype)
    layer = place[0] % len(widths)
    first, other = place[1] % widths[layer], place[2] % widths[layer]
    if first == other:
        other = (first + 1) % widths[layer]
    # Multiples are copies where the activation keeps the factor, and exactly so where rounding does.
    is_kept = (factor == 3.0 and phi is nn.ReLU) or (factor == -1.0 and phi is nn.Tanh)
    copied(model, 2 * layer, first, other, factor if is_kept and dtype != torch.bfloat16 else 1.0)
    assert copies(model, X.to(dtype)).startswith(f"units of {2 * layer}.weight") or layer


@pytest.mark.parametrize("width", [2, 7, 33, 257])
def test_twins_at_the_ends_of_a_wide_layer_are_not_lost_to_rounding(width):
    """theory 1.3: other vector code sums the last column, so float32 gradients of twins differ by 1e-7."""
    assert copies(copied(stack(6, width, 4, 3), 0, 0, width - 1))


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("layer", [0, 1])
def test_copies_in_a_lower_recurrent_layer_are_suspected(kind, gates, layer):
    torch.manual_seed(0)
    cell = kind(6, 8, 3, batch_first=True)
    model = Net(lambda self, x: self.head(self.cell(x)[0][:, -1]), cell=cell, head=nn.Linear(8, 3))
    batch = seeded(6, 5, 6)
    assert not copies(model, batch)
    named = dict(cell.named_parameters())
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            rows = named[f"{name}_l{layer}"].unflatten(0, (gates, 8))
            rows[:, 6] = rows[:, 2]
        for name in (f"weight_hh_l{layer}", f"weight_ih_l{layer + 1}"):
            named[name][:, 6] = named[name][:, 2]
    assert copies(model, batch) == f"units of cell.weight_ih_l{layer} get gradients of one size"


def test_channels_that_differ_by_a_bias_in_front_of_a_norm_are_suspected():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten())
    batch = seeded(6, 3, 8, 8)
    assert not copies(model, batch)
    with torch.no_grad():
        model[0].weight[5], model[3].weight[:, 5] = model[0].weight[2], model[3].weight[:, 2]
    assert copies(model, batch) == "units of 0.weight get one gradient, and the norm behind them hides a bias"


def test_lumped_units_are_suspected():
    assert copies(lumped(), X.double())


def test_copied_weights_are_suspected_wherever_they_stand():
    layer = nn.Linear(6, 6)
    assert (
        copies(nn.Sequential(layer, nn.Tanh(), copy.deepcopy(layer))) == "0.weight and 2.weight hold the same numbers"
    )
    assert copies(Net(lambda self, x: self.a(x) + self.b(x), a=layer, b=copy.deepcopy(layer)))


@pytest.mark.parametrize("way", ["convolution", "lstm", "embedding", "zero"])
def test_copies_are_suspected_in_other_layers(way):
    if way == "convolution":
        model, batch = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)), seeded(6, 3, 5, 5)
        model[0].weight.data[5], model[0].bias.data[5] = model[0].weight.data[1], model[0].bias.data[1]
    elif way == "lstm":
        lstm = nn.LSTM(6, 4, batch_first=True)
        model, batch = Net(lambda self, x: self.h(self.l(x)[0][:, -1]), l=lstm, h=nn.Linear(4, 2)), seeded(6, 5, 6)
        for parameter in (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0):
            gates = parameter.data.unflatten(0, (4, 4))
            gates[:, 3] = gates[:, 1]
        lstm.weight_hh_l0.data[:, 3] = lstm.weight_hh_l0.data[:, 1]
    elif way == "embedding":
        model, batch = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 3)), torch.arange(9)
        model[0].weight.data[:, 5] = model[0].weight.data[:, 1]
    else:
        model, batch = stack(6, 8, 3), X
        model[0].weight.data[[2, 5]] = 0.0
        model[0].bias.data[[2, 5]] = 0.0
    assert copies(model, batch)


def healthy(seed):
    """A random sound network: dense, convolutional or residual, of random widths and activations."""
    draw = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)

    def pick(*choices):
        return choices[int(torch.randint(len(choices), (), generator=draw))]

    phi, width = pick(nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU), pick(8, 16, 40, 100)
    if pick("dense", "dense", "convolution") == "convolution":
        model = nn.Sequential(
            nn.Conv2d(3, width, 3), phi(), nn.Conv2d(width, 8, 3), phi(), nn.Flatten(), nn.Linear(32, 4)
        )
        return model, torch.randn(64, 3, 6, 6)
    layers = [nn.Linear(12, width)]
    for _ in range(pick(0, 1, 3)):
        layers += [phi(), *([nn.LayerNorm(width)] if pick(True, False) else []), nn.Linear(width, width)]
    return nn.Sequential(*layers, phi(), nn.Linear(width, pick(2, 10))), torch.randn(64, 12)


def dead(model, batch):
    """Whether a unit is off on the whole batch: two of them respond alike indeed."""
    offs = []
    for module in model:
        batch = module(batch)
        if isinstance(module, nn.ReLU):
            flat = batch.detach().movedim(1, 0).flatten(1)
            offs.append(int((flat.amax(1) == 0).sum()))
    return max(offs, default=0)


@pytest.mark.parametrize("seed", range(50))
def test_healthy_networks_give_no_reason(seed):
    model, batch = healthy(seed)
    if dead(model, batch) < 2:
        assert copies(model, batch) == ""
        assert sleep(model, batch) == ""


def test_a_suspicion_is_no_verdict():
    """Zero rows give a reason to look, and the probe finds units that part."""
    model = stack(6, 8, 3)
    model[2].weight.data[:2], model[2].bias.data[:2] = 0.0, 0.0
    assert copies(model)
    assert {block.level for block in symmetry(subject_of(model, X, square)).blocks} <= {"rows"}


def test_the_gradients_tell_the_units_of_a_zero_head_apart():
    assert copies(zeroed(stack(6, 8, 3), "2.weight", "2.bias")) == ""


def test_classes_absent_from_the_batch_are_told_apart_by_their_outputs():
    model = zeroed(stack(6, 8, 9), "2.weight", "2.bias")
    assert copies(model, loss=lambda output: nn.functional.cross_entropy(output, torch.zeros(len(output)).long())) == ""


def test_a_zero_hidden_layer_whose_units_get_one_gradient_is_suspected():
    model = zeroed(stack(6, 8, 3), "0.weight", "0.bias")
    model[2].weight.data[:] = model[2].weight.data[:, :1]
    assert copies(model)


# -- sleep ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (zeroed(stack(6, 8, 8, 3), "4.weight"), X),
        (zeroed(stack(6, 8, 8, 3), "2.weight", "4.weight"), X),
        (zeroed(Gated(), "gate.weight", "up.weight"), X),
        (zeroed(Attends(), "q.weight", "k.weight"), TOKENS),
        (Rezero(), X),
        (only_biases(4), X),
        # In float32 rounding, times 1 / sqrt(eps), comes to a millionth of the largest gradient: near the limit.
        (nn.Sequential(nn.Linear(6, 8), nn.GroupNorm(8, 8), nn.Linear(8, 3)).double(), X.double()),
        (nn.Sequential(*stack(6, 8, 1), nn.Softmax(-1)), X),
        (Net(lambda self, x: self.b(self.a(x).detach()), a=nn.Linear(6, 8), b=nn.Linear(8, 3)), X),
        (Net(lambda self, x: self.b(self.a(x).round()), a=nn.Linear(6, 8), b=nn.Linear(8, 3)), X),
    ],
)
def test_every_kind_of_sleep_is_suspected(model, batch):
    assert sleep(model, batch)


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (Attends(bias=True), TOKENS),
        (nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), X),
    ],
)
def test_offsets_that_are_taken_off_again_are_no_reason(model, batch):
    assert sleep(model, batch) == ""


def test_one_silent_slice_of_a_tensor_is_suspected():
    def forward(self, x):
        return torch.einsum("sor,sri,bi->bo", self.B, self.A, x)

    model = Net(forward, A=seeded(3, 2, 6), B=seeded(3, 4, 2))
    assert sleep(model) == ""
    model.A.data[1], model.B.data[1] = 0.0, 0.0
    assert "of A have no gradient" in sleep(model)


def test_units_off_by_a_relu_explain_their_rows():
    model = stack(6, 8, 3, phi=nn.ReLU)
    model[0].bias.data[:3] = -50.0
    assert sleep(model) == ""


def behind_norm():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def test_units_off_behind_a_norm_explain_their_rows():
    model = behind_norm()
    model[1].bias.data[:3] = -50.0
    seen = trace(model, X, square)
    assert suspicion.of_sleep(seen) == ""
    assert suspicion.units_off(seen) == {"0.weight": 3, "0.bias": 3, "1.weight": 3, "1.bias": 3}


def test_units_at_the_kink_behind_a_norm_that_multiplies_by_zero_are_not_off():
    model = behind_norm()
    model[1].weight.data[:3] = 0.0
    seen = trace(model, X, square)
    assert "0.weight" in suspicion.of_sleep(seen)
    assert suspicion.units_off(seen) == {}


def test_rows_that_were_not_looked_up_are_no_reason():
    assert sleep(nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 3)), torch.arange(4)) == ""


def test_frozen_parts_and_frozen_models_are_no_reason():
    model = zeroed(stack(6, 8, 8, 3), "4.weight")
    for layer in (model[0], model[2]):
        layer.requires_grad_(False)
    assert sleep(model) == ""
    model.requires_grad_(False)
    assert sleep(model) == copies(copied(model, 0, 0, 1)) == ""


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_the_scale_of_the_loss_does_not_matter(factor):
    assert sleep(stack(6, 8, 8, 3), loss=lambda output: factor * square(output)) == ""
