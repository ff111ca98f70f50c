"""Virtual steps: how far they go, and which relations between rows they keep."""

import pytest
import torch
from torch import nn

from stepzero.probe import steps
from stepzero.probe.replica import Replica
from stepzero.probe.subject import subject_of
from tests.probe.observing import seeded
from tests.probe.planting import X, lumped, square, stack

STEPS = [steps.plain, steps.elementwise, steps.along]


def made(model, batch=X):
    return Replica(subject_of(model, batch, square))


def rms(tensor):
    return float(tensor.abs().square().mean().sqrt())


@pytest.mark.parametrize(("step", "slack"), [(steps.plain, 2.0), (steps.along, 1.0)])
@pytest.mark.parametrize("factor", [1e-9, 1.0, 1e9])
def test_every_parameter_moves_by_a_hundredth_of_its_scale_along_its_gradient(step, slack, factor):
    replica = made(stack(6, 8, 3))
    before = replica.state()
    gradients = {name: factor * gradient for name, gradient in replica.run()[0].items()}
    step(replica, gradients)
    for name, after in replica.state().items():
        moved = after - before[name]
        expected = steps.SIZE * rms(before[name])
        assert expected / slack / (1 + 1e-6) <= rms(moved) <= expected * slack * (1 + 1e-6)
        torch.testing.assert_close(moved / rms(moved), -gradients[name] / rms(gradients[name]))


@pytest.mark.parametrize("step", [steps.plain, steps.elementwise])
def test_units_of_two_weights_that_differ_elsewhere_take_one_step(step):
    """As under one learning rate: the steps of two tensors are not told apart by what else they hold."""
    replica = made(nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8)))
    one, two = torch.full((8, 6), 0.3), torch.full((8, 8), 0.3)
    two[0, 0] = 0.5
    values = {"0.weight": one, "1.weight": two}
    replica._start |= {name: value.double() for name, value in values.items()}
    replica.reset()
    step(replica, {name: 0.1 * value.double() for name, value in values.items()})
    moved = replica.state()
    assert torch.equal(moved["0.weight"][3, :4], moved["1.weight"][3, :4])


def test_a_step_against_the_gradient_lowers_what_it_is_the_gradient_of():
    replica = made(stack(6, 8, 3))

    def told():
        return float(replica._scalar(0, None)[1].detach())

    with replica._running():
        before = told()
    steps.plain(replica, replica.run()[0])
    with replica._running():
        assert told() < before


@pytest.mark.parametrize(
    ("parameter", "scale"),
    [
        (torch.full((3, 4), -2.0), 2.0),
        (torch.zeros(3, 16), 0.25),
        (torch.zeros(3, 4, 4), 0.25),
        (torch.zeros(5), 1.0),
        (torch.zeros(()), 1.0),
        (torch.full((2,), 3 + 4j, dtype=torch.complex64), 5.0),
    ],
    ids=str,
)
def test_the_scale_is_that_of_the_values_or_what_a_zero_grows_to(parameter, scale):
    assert steps.scale_of(parameter) == pytest.approx(scale)


@pytest.mark.parametrize("step", STEPS)
def test_missing_and_zero_gradients_move_nothing(step):
    replica = made(stack(6, 8, 3))
    before = replica.state()
    step(replica, {"0.weight": None, "0.bias": torch.zeros(8, dtype=torch.float64)})
    assert all(torch.equal(after, before[name]) for name, after in replica.state().items())


@pytest.mark.parametrize("step", [steps.plain, steps.elementwise])
def test_what_is_left_of_a_cancelled_sum_is_not_followed(step):
    replica = made(stack(6, 8, 3))
    before = replica.state()
    step(replica, {"0.weight": torch.ones(8, 6).double(), "2.weight": torch.full((3, 8), 1e-14).double()})
    assert torch.equal(replica.state()["2.weight"], before["2.weight"])
    assert not torch.equal(replica.state()["0.weight"], before["0.weight"])


def test_a_gradient_known_to_be_signal_is_followed_however_small():
    replica = made(stack(6, 8, 3))
    before = replica.state()
    steps.along(replica, {"2.weight": torch.full((3, 8), 1e-300, dtype=torch.float64)})
    moved = before["2.weight"] - replica.state()["2.weight"]
    torch.testing.assert_close(moved, torch.full_like(moved, steps.SIZE * rms(before["2.weight"])))


@pytest.mark.parametrize("step", STEPS)
def test_equal_rows_with_equal_gradients_stay_equal(step):
    model = stack(6, 8, 3)
    with torch.no_grad():
        model[0].weight[5] = model[0].weight[1]
    replica = made(model)
    gradient = seeded(8, 6, dtype=torch.float64)
    gradient[5] = gradient[1]
    for _ in range(5):
        step(replica, {"0.weight": gradient})
    weight = replica.state()["0.weight"]
    assert torch.equal(weight[5], weight[1])
    assert not torch.equal(weight[5], weight[2])


@pytest.mark.parametrize("step", STEPS)
def test_opposite_rows_with_opposite_gradients_stay_opposite(step):
    model = stack(6, 8, 3)
    with torch.no_grad():
        model[0].weight[5] = -model[0].weight[1]
    replica = made(model)
    gradient = seeded(8, 6, dtype=torch.float64)
    gradient[5] = -gradient[1]
    for _ in range(5):
        step(replica, {"0.weight": gradient})
    weight = replica.state()["0.weight"]
    assert torch.equal(weight[5], -weight[1])


@pytest.mark.parametrize(("step", "kept"), [(steps.plain, True), (steps.elementwise, False)])
def test_equal_block_sums_are_kept_by_the_linear_step_alone(step, kept):
    """Theorem 2: a step that is constant on blocks keeps sums; a nonlinear function of every entry does not."""
    replica = made(lumped(), X.double())
    for _ in range(3):
        step(replica, replica.run()[0])
    blocks = replica.state()["2.weight"].view(6, 2, 3).sum(2)
    gap = float((blocks[0] - blocks[1]).abs().max())
    assert (gap < 1e-12) == kept


@pytest.mark.parametrize(("step", "kept"), [(steps.plain, True), (steps.elementwise, False)])
def test_proportional_rows_are_kept_by_the_linear_step_alone(step, kept):
    model = stack(6, 8, 3).double()
    with torch.no_grad():
        model[0].weight[5] = 3 * model[0].weight[1]
    replica = made(model, X.double())
    gradient = seeded(8, 6, dtype=torch.float64)
    gradient[5] = 3 * gradient[1]
    step(replica, {"0.weight": gradient})
    weight = replica.state()["0.weight"]
    assert (float((weight[5] - 3 * weight[1]).abs().max()) < 1e-14) == kept


def test_sums_of_gradients_are_missing_only_where_both_are():
    one, two = torch.ones(2), torch.full((2,), 2.0)
    total = steps.summed({"a": one, "b": None, "c": one, "d": None}, {"a": two, "b": two, "c": None, "d": None})
    assert total["a"].tolist() == [3.0, 3.0]
    assert (total["b"] is two, total["c"] is one, total["d"]) == (True, True, None)
    assert steps.summed({}, {"a": one})["a"] is one


def test_a_nudge_is_one_rounding_of_every_number():
    made = Replica(subject_of(stack(6, 8, 3), X, square))
    nudged = steps.nudged(made)
    for name in made.parameters:
        start = made.start_of(name)
        apart = ((nudged[name] - start) / start).abs()
        assert bool((apart[start != 0] > 0).all())
        assert float(apart[start != 0].max()) <= 2 * torch.finfo(torch.float64).eps


@pytest.mark.parametrize("step", [steps.plain, steps.elementwise])
def test_numbers_without_a_size_do_not_end_a_step(step):
    replica = made(stack(6, 8, 3))
    with torch.no_grad():
        replica._start["0.weight"][0, 0] = float("inf")
        replica._start["2.weight"][0, 0] = float("nan")
    step(replica, {name: torch.ones_like(each) for name, each in replica.trainable.items()})
    assert bool(replica.state()["2.bias"].isfinite().all())
