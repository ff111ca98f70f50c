import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepzero.lab import activations, generic, native, spatial
from stepzero.lab.modules import MODULES
from stepzero.lab.task import LOSSES, Samples
from stepzero.lab.update import OPTIMIZERS, Update

pytestmark = pytest.mark.skipif(bool(native.reason()), reason=native.reason())
SHAPES = (4, 3), (8, 1), (5, 6)
WIDTHS = 6, 16, 18


def samples(shape, *, loss="cross_entropy", dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(21, shape[0] * shape[1], generator=generator, dtype=dtype)
    labels = torch.randint(0, 3, (21,), generator=generator)
    return Samples(inputs, labels if loss == "cross_entropy" else torch.eye(3, dtype=dtype)[labels], loss)


def starts(module, count, dtype=torch.float32, scale=0.3):
    numbers = torch.zeros(count, generic.stride(module), dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    for view in generic.views(module, numbers).values():
        view.normal_(0, scale, generator=generator)
    return numbers


def built(name, shape, width=6, depth=2, activation="tanh"):
    module = MODULES[name](shape, 3, width, depth, activations.get(activation).value)
    return module, spatial.program(module, activation)


@pytest.mark.parametrize("name", MODULES)
@settings(deadline=None, max_examples=12)
@given(
    shape=st.sampled_from(SHAPES),
    width=st.sampled_from(WIDTHS),
    depth=st.integers(1, 3),
    activation=st.sampled_from(sorted(activations.ACTIVATIONS)),
    loss=st.sampled_from(LOSSES),
    optimizer=st.sampled_from(OPTIMIZERS),
    batch=st.sampled_from([None, 1, 5, 16, 32]),
)
def test_the_kernel_takes_the_steps_of_the_plain_loop(name, shape, width, depth, activation, loss, optimizer, batch):
    module, made = built(name, shape, width, depth, activation)
    data, numbers = samples(shape, loss=loss, dtype=torch.float64), starts(module.double(), 2, torch.float64, 0.1)
    generator = torch.Generator().manual_seed(5)
    order = None if batch is None else torch.randint(0, 21, (2, 4, batch), generator=generator)
    lrs = torch.tensor([0.01, 0.05], dtype=torch.float64)
    kernel, loop = (
        generic.Modules(module, numbers.clone(), lrs, Update(optimizer), program=way) for way in (made, None)
    )
    torch.testing.assert_close(kernel.train_(data, 4, order), loop.train_(data, 4, order), rtol=1e-8, atol=1e-9)
    # Adam divides a gradient by its own size: of a tiny one, rounding decides.
    if optimizer in ("sgd", "momentum"):
        torch.testing.assert_close(kernel.weights, loop.weights, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", MODULES)
@settings(deadline=None, max_examples=8)
@given(
    data=st.data(), size=st.sampled_from([1, 2, 7, 64]), width=st.sampled_from(WIDTHS), batch=st.sampled_from([5, 32])
)
def test_a_network_becomes_the_same_in_any_company_beside_one_that_diverges(name, optimizer, data, size, width, batch):
    module, made = built(name, (4, 3), width, activation="relu")
    task, networks, steps = samples((4, 3), loss="mse"), 8, 6
    pool, lrs = starts(module, networks), torch.linspace(0.001, 0.02, networks)
    pool[3] *= 1e6
    lrs[3] = 1e30
    order = torch.randint(0, 21, (networks, steps, batch), generator=torch.Generator().manual_seed(5))
    seats = torch.tensor(data.draw(st.lists(st.integers(0, networks - 1), min_size=size, max_size=size)))

    def result(members):
        own = generic.Modules(module, pool[members].clone(), lrs[members], Update(optimizer), program=made)
        losses = own.train_(task, steps, order[members])
        return losses, own.weights, *own.state, own.stopped

    whole = result(torch.arange(networks))
    assert whole[4].tolist() == [-1, -1, -1, whole[4][3], -1, -1, -1, -1]
    assert 0 <= whole[4][3] < steps
    assert whole[0][torch.arange(networks) != 3].isfinite().all()
    for one, other in zip(whole, result(seats), strict=True):
        assert torch.equal(one[seats].nan_to_num(), other.nan_to_num())


@pytest.mark.parametrize("name", MODULES)
def test_training_in_pieces_is_training_at_once(name):
    module, made = built(name, (4, 3))
    data, numbers = samples((4, 3)), starts(module, 3)
    order = torch.randint(0, 21, (3, 9, 8), generator=torch.Generator().manual_seed(2))
    once, pieces = (
        generic.Modules(module, numbers.clone(), torch.full((3,), 0.01), Update("adam"), program=made) for _ in range(2)
    )
    whole = once.train_(data, 9, order)
    parts = [pieces.train_(data, steps, order[:, start : start + steps]) for start, steps in ((0, 4), (4, 5))]
    assert torch.equal(whole, torch.cat(parts, 1))
    assert torch.equal(once.weights, pieces.weights)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODULES)
def test_what_is_seen_is_what_the_module_shows(name, shape):
    module, made = built(name, shape, activation="relu")
    data, numbers = samples(shape, dtype=torch.float64), starts(module.double(), 1, torch.float64)[0]
    (loss, output, layers), (expected, outputs, own) = (
        look(module, numbers, data) for look in (lambda *args: spatial.observe(made, *args), generic.observe)
    )
    assert loss == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(output, outputs)
    for one, other in zip(layers, own, strict=True):
        assert (one.layer, one.units, one.effective_width) == (other.layer, other.units, other.effective_width)
        assert (one.weight, one.gradient) == pytest.approx((other.weight, other.gradient), rel=1e-9)


def test_constant_channels_are_one_unit():
    module, made = built("conv", (4, 3))
    numbers = torch.full((generic.stride(module),), 0.1, dtype=torch.float64)
    *_, found = spatial.observe(made, module, numbers, samples((4, 3), dtype=torch.float64))
    assert [each.effective_width for each in found[:2]] == [1, 1]
