import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepzero.lab import generic
from stepzero.lab.modules import MODULES
from stepzero.lab.task import Samples
from stepzero.lab.update import Update

SHAPE = 4, 3


def module(name):
    return MODULES[name](SHAPE, 3, 6, 2, torch.tanh)


def samples(*, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(20, 12, generator=generator, dtype=dtype)
    return Samples(inputs, torch.randint(0, 3, (20,), generator=generator))


def starts(made, count, dtype=torch.float32):
    return 0.3 * torch.randn(count, generic.stride(made), generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("update", ["sgd", "adam"])
@pytest.mark.parametrize("name", MODULES)
def test_a_fleet_takes_the_steps_of_a_plain_loop(name, update):
    made, data = module(name).double(), samples(dtype=torch.float64)
    numbers = starts(made, 2, torch.float64)
    fleet = generic.Modules(made, numbers.clone(), torch.tensor([0.1, 0.02], dtype=torch.float64), Update(update))
    losses = fleet.train_(data, 4)
    for number, lr in enumerate((0.1, 0.02)):
        alone = module(name).double()
        for parameter, value in zip(alone.parameters(), generic.views(made, numbers[number]).values(), strict=True):
            parameter.data.copy_(value)
        optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[update](alone.parameters(), lr=lr)
        for step in range(4):
            optimizer.zero_grad()
            loss = generic.loss_of(alone(data.inputs), data.targets, data.loss)
            loss.backward()
            optimizer.step()
            assert float(losses[number, step]) == pytest.approx(loss.item(), rel=1e-9)


@pytest.mark.parametrize("name", MODULES)
@settings(deadline=None, max_examples=4)
@given(seats=st.lists(st.integers(0, 7), min_size=1, max_size=40), batch=st.sampled_from([None, 5, 16]))
def test_a_network_becomes_the_same_wherever_it_rides(name, seats, batch):
    made, data = module(name), samples()
    pool, lrs = starts(made, 8), torch.linspace(0.01, 0.2, 8)
    generator = torch.Generator().manual_seed(5)
    order = None if batch is None else torch.randint(0, 20, (8, 3, batch), generator=generator)

    def result(members):
        fleet = generic.Modules(made, pool[members].clone(), lrs[members], Update("adam"))
        return fleet.train_(data, 3, None if order is None else order[members]), fleet.weights

    seats = torch.tensor(seats)
    for whole, part in zip(result(torch.arange(8)), result(seats), strict=True):
        assert torch.equal(whole[seats], part)


def test_who_diverges_stops_alone():
    made = module("recurrent")
    numbers = starts(made, 2)
    data = Samples(samples().inputs, torch.randn(20, 3, generator=torch.Generator().manual_seed(2)), "mse")
    fleet = generic.Modules(made, numbers.clone(), torch.tensor([1e20, 0.01]), Update("sgd"))
    losses = fleet.train_(data, 20)
    assert fleet.stopped[0] > 0
    assert fleet.stopped[1] == -1
    assert losses[1].isfinite().all()


@pytest.mark.parametrize("name", MODULES)
def test_what_is_seen_are_units_that_differ_and_norms(name):
    made, data = module(name).double(), samples(dtype=torch.float64)
    loss, output, found = generic.observe(made, starts(made, 1, torch.float64)[0], data)
    assert output.shape == (3, 20)
    assert loss == pytest.approx(float(generic.loss_of(output.T, data.targets, data.loss)))
    assert [each.layer for each in found] == list(generic.layers(made))
    assert all(each.effective_width == each.units and each.gradient > 0 for each in found if each.layer != "packed.0")


def test_constant_channels_are_one_unit():
    made, data = module("conv").double(), samples(dtype=torch.float64)
    *_, found = generic.observe(made, torch.full((generic.stride(made),), 0.1, dtype=torch.float64), data)
    assert [each.effective_width for each in found[:2]] == [1, 1]
