"""A float64 copy that may be run and written, beside a model that may not."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.probe.build import build
from stepzero.probe.replica import Replica, ReplicaError, copied_model
from stepzero.probe.subject import subject_of
from tests.probe.models import CASES, Lambda
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, square, stack


def replica(model, batch=X, loss=square, target=None):
    return Replica(subject_of(model, batch, loss, target))


def times(factor):
    return lambda output: factor * square(output)


def test_the_copy_holds_the_same_numbers_in_float64_and_shares_no_memory():
    model = stack(6, 8, 3)
    made = replica(model)
    for name, parameter in model.named_parameters():
        assert made.parameters[name].dtype == torch.float64
        assert torch.equal(made.parameters[name], parameter.double())
    made.write({name: torch.zeros_like(each) for name, each in made.parameters.items()})
    assert all(bool(parameter.any()) for parameter in model.parameters())
    assert not any(bool(each.any()) for each in made.state().values())


def test_frozen_parameters_are_no_part_of_the_gradient():
    model = stack(6, 8, 3)
    model[0].requires_grad_(False)
    made = replica(model)
    assert set(made.trainable) == {"2.weight", "2.bias"} == set(made.run()[0])
    assert set(made.parameters) == set(dict(model.named_parameters()))


def test_only_the_parameters_named_are_looked_at():
    model = stack(6, 8, 3)
    whole, part = replica(model).look(), replica(model).look(names=["2.bias"])
    assert part.sizes.keys() == part.gradients.keys() == {"2.bias"}
    assert torch.equal(part.sizes["2.bias"], whole.sizes["2.bias"])


def test_a_group_norm_whose_input_needs_no_gradient_does_not_kill_the_process():
    """Torch's kernel for channels-last memory writes to the gradient of the input, asked for or not."""
    images = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)).contiguous(
        memory_format=torch.channels_last
    )
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(128, 3))
    model = model.to(memory_format=torch.channels_last)
    found = replica(model, images).look(names=["1.bias"]).sizes
    assert found.keys() == {"1.bias"}
    assert bool((found["1.bias"] > 0).all())


def test_the_gradient_is_that_of_the_loss_plus_fixed_random_cotangents():
    """Twice the loss adds its own gradient once more; the part that is left does not depend on the loss."""
    model = stack(6, 8, 3)
    one, two = (replica(model, loss=times(k)).run()[0] for k in (1, 2))
    double = copy.deepcopy(model).double()
    square(double(X.double())).backward()
    for name, parameter in double.named_parameters():
        torch.testing.assert_close(two[name] - one[name], parameter.grad)
        assert float((one[name] - parameter.grad).norm()) > 1e-3


def test_on_the_second_batch_the_cotangents_alone_count():
    model = stack(6, 8, 3)
    one, two = (replica(model, loss=times(k)).run(1)[0] for k in (1, 100))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_loss_of_the_model_itself_counts_on_both_batches():
    class Owner(nn.Module):
        def __init__(self, k):
            super().__init__()
            self.net, self.k = stack(6, 8, 3), k

        def forward(self, x):
            output = self.net(x)
            return {"logits": output, "loss": self.k * output.square().mean()}

    one, two = (replica(Owner(k), loss=None).run(1)[0] for k in (1, 2))
    assert all(not torch.equal(one[name], two[name]) for name in one)


def test_a_loss_that_vanishes_by_symmetry_leaves_a_gradient():
    made = replica(nn.Sequential(*stack(6, 8, 8), nn.LayerNorm(8)), loss=lambda output: output.sum())
    assert all(float(gradient.norm()) > 1e-4 for gradient in made.run()[0].values())


@pytest.mark.parametrize("batch", [0, 1])
def test_every_run_is_the_same_with_dropout_and_in_train_mode(batch):
    made = replica(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)))
    (one, first), (two, second) = made.run(batch), made.run(batch)
    assert torch.equal(first, second)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_buffers_go_back_to_the_start_with_the_weights():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8))
    made = replica(model)
    before = {name: each.clone() for name, each in made.model.named_buffers()}
    made.run()
    made.write({"0.weight": torch.ones(8, 6)})
    assert all(torch.equal(each, before[name]) for name, each in made.model.named_buffers())
    assert bool((made.state()["0.weight"] == 1).all())
    made.reset()
    assert torch.equal(made.state()["0.weight"], model[0].weight.double())
    assert torch.equal(made.start_of("0.weight"), model[0].weight.double())


# -- zero, or rounding? ---------------------------------------------------------------------------------------------


def test_slice_sizes_are_the_largest_magnitudes_along_axis_0():
    made = replica(stack(6, 8, 3))
    look = made.look()
    sizes, gradients = look.sizes, look.gradients
    for name, gradient in gradients.items():
        expected = gradient.abs().flatten(1).amax(1) if gradient.dim() > 1 else gradient.abs()
        torch.testing.assert_close(sizes[name], expected)


def test_what_a_cancelled_sum_leaves_counts_as_zero():
    """A bias in front of batch norm has no gradient; float64 shows 1e-17 or so."""
    made = replica(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)))
    look = made.look()
    sizes, gradients = look.sizes, look.gradients
    assert float(gradients["0.bias"].abs().max()) > 0
    assert bool((sizes["0.bias"] <= 0).all())
    assert bool((sizes["0.weight"] > 0).all())


def test_so_it_does_where_nothing_but_rounding_is_left():
    model = Net(lambda self, x: (h := self.net(x).exp()) / h.sum(-1, keepdim=True), net=stack(6, 8, 1))
    sizes = replica(model).look().sizes
    assert all(bool((size <= 0).all()) for size in sizes.values())


@pytest.mark.parametrize("factor", [1e-140, 1e-40, 1.0, 1e40])
def test_a_faint_gradient_is_still_a_gradient(factor):
    model = Net(lambda self, x: self.b(torch.tanh(self.a(x))) * factor, a=nn.Linear(6, 8), b=nn.Linear(8, 3))
    sizes = replica(model, loss=lambda output: output.sum()).look().sizes
    assert all(bool((size > 0).all()) for size in sizes.values())


def test_a_parameter_without_a_path_has_no_size_and_one_with_nan_keeps_it():
    model = Net(lambda self, x: self.b(x) * float("nan"), b=nn.Linear(6, 3), idle=nn.Linear(3, 3))
    sizes = replica(model).look().sizes
    assert sizes["idle.weight"] is None
    assert bool(sizes["b.weight"].isnan().all())


def test_sparse_gradients_are_made_dense():
    gradients, _ = replica(nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Linear(4, 3)), torch.arange(4)).run()
    assert gradients["0.weight"].layout == torch.strided


# -- the second batch -----------------------------------------------------------------------------------------------


def second(batch):
    """What the model is given on the second batch."""
    kept = []
    weight = nn.Linear(1, 1)

    def forward(self, *inputs, **named):
        kept.append((inputs, named))
        return self.weight(torch.ones(2, 1))

    replica(Lambda(forward, weight=weight), batch, None).output(1)
    inputs, named = kept[-1]
    return named or (inputs if len(inputs) > 1 else inputs[0])


def test_floats_are_redrawn_inside_their_range():
    batch = torch.rand(200, 3) * 4 - 1
    fresh = second(batch)
    assert fresh.shape == batch.shape
    assert fresh.dtype == torch.float64
    assert bool((fresh >= batch.min()).all() & (fresh <= batch.max()).all())
    assert float((fresh == batch).double().mean()) < 0.05
    assert float(fresh.mean()) == pytest.approx(float(batch.mean()), abs=0.2)


@pytest.mark.parametrize(
    "batch",
    [
        torch.arange(12).view(3, 4),
        torch.tensor([True, False, True, False, True]),
        torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0, 1.0]),
        torch.arange(256.0).view(16, 16),
    ],
    ids=["ids", "mask", "binary floats", "bytes"],
)
def test_whole_numbers_are_shuffled(batch):
    fresh = second(batch)
    assert fresh.shape == batch.shape
    assert fresh.flatten().sort().values.tolist() == batch.flatten().double().sort().values.tolist()


def test_words_and_nested_inputs_are_kept():
    fresh = second({"x": torch.randn(4, 2), "how": "fast", "pair": (torch.randn(3), [2, None])})
    assert fresh["how"] == "fast"
    assert fresh["pair"][1] == [2, None]
    assert fresh["x"].shape == (4, 2)


# -- copies ---------------------------------------------------------------------------------------------------------


class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.running = nn.Linear(6, 3), (each for each in "ab")

    def forward(self, x):
        return self.net(x)


def test_a_model_that_refuses_and_has_no_factory_is_an_error_with_a_way_out():
    with pytest.raises(ReplicaError, match=r"cannot be copied \(TypeError.*pass a factory"):
        copied_model(subject_of(Stubborn(), X, square))


def test_the_factory_is_called_again_and_the_checked_values_and_flags_are_brought_over():
    subject = build(Stubborn, X, square, None, name="", seed=0)
    with torch.no_grad():
        subject.model.net.weight.fill_(0.5)
    subject.model.net.bias.requires_grad_(False)
    made = copied_model(subject)
    assert made is not subject.model
    assert bool((made.net.weight == 0.5).all())
    assert (made.net.weight.requires_grad, made.net.bias.requires_grad) == (True, False)


def test_tied_weights_stay_tied():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False))
    model[1].weight = model[0].weight
    made = replica(model, torch.arange(4))
    assert list(made.parameters) == ["0.weight"]
    assert made.model[1].weight is made.model[0].weight


def test_a_dropped_error_names_its_kind_in_one_line():
    def forward(self, x):
        raise KeyError("first\nsecond")

    with pytest.raises(ReplicaError, match=r"KeyError: 'first\\nsecond'"):
        replica(Net(forward, a=nn.Linear(6, 3))).run()


@pytest.mark.parametrize("name", CASES)
def test_neither_the_model_nor_the_world_is_changed(name):
    model, batch, loss = CASES[name]()
    before = {key: each.detach().clone() for key, each in model.state_dict(keep_vars=True).items()}
    flags = [module.training for module in model.modules()]
    world = (torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled())
    made = replica(model, batch, loss)
    made.run(0)
    made.look(1)
    assert all(torch.equal(each, before[key]) for key, each in model.state_dict().items())
    assert flags == [module.training for module in model.modules()]
    assert torch.equal(world[0], torch.get_rng_state())
    assert world[1:] == (torch.get_default_dtype(), torch.is_grad_enabled())


def test_targets_go_to_float64_with_the_batch():
    target = seeded(24, 3, seed=2)
    gradients, output = replica(stack(6, 3), loss=F.mse_loss, target=target).run()
    assert output.dtype == torch.float64
    assert all(gradient.dtype == torch.float64 for gradient in gradients.values())


def spectral(weight):
    """Frequencies mixed by complex weights."""
    return Net(
        lambda self, x: self.head(torch.view_as_real(torch.fft.rfft(x) @ self.w).flatten(1)),
        w=weight,
        head=nn.Linear(2 * weight.shape[1], 3),
    )


def test_complex_weights_are_widened_and_get_their_gradient():
    model = spectral(torch.randn(4, 5, dtype=torch.complex64))
    batch = seeded(8, 6)
    replica = Replica(subject_of(model, batch, lambda output: output.square().mean()))
    assert replica.parameters["w"].dtype == torch.complex128
    gradients, _ = replica.run(0)
    numbers = gradients["w"]
    assert numbers is not None
    assert numbers.dtype == torch.complex128
    assert float(numbers.abs().min()) > 0


class Exchanges(nn.Module):
    """Puts another part into its place when it first runs, as models do that choose their attention by length."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.drop, self.fc = nn.Identity(), nn.Linear(6, 3)

    def forward(self, x):
        if isinstance(self.drop, nn.Identity):
            self.drop = nn.Dropout(0.5)
        return self.fc(self.drop(x))


def test_a_model_that_exchanges_its_parts_answers_the_same_from_the_first_pass_on():
    replica = Replica(subject_of(Exchanges(), torch.randn(8, 6), lambda out: out.square().mean()))
    first, second = replica.output(), replica.output()
    assert torch.equal(first, second)
