"""Theorem 3 against networks really trained: the size of the first gradient below zero layers."""

import math

import pytest
import torch

from stepzero.measure.first_touch import size
from tests.probe.sleeping import only_biases


def first_gradient(layers, lr, optimizer):
    """(step, size) of the first gradient of layer 1, in float64, under minibatches."""
    model = only_biases(layers).double()
    draw = torch.Generator().manual_seed(3)
    optimizer = optimizer(model.parameters(), lr)
    for step in range(layers + 2):
        batch = torch.randn(32, 6, generator=draw, dtype=torch.float64)
        target = torch.stack([batch[:, 0], batch[:, 1].abs(), batch[:, :3].prod(1)], 1)
        optimizer.zero_grad()
        (model(batch) - target).square().mean().backward()
        norm = float(model[0].weight.grad.norm())
        if norm > 0:
            return step, norm
        optimizer.step()
    raise AssertionError("never touched")


def sgd(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr)


def adam(parameters, lr):
    return torch.optim.Adam(parameters, lr=lr, eps=1e-300)


@pytest.mark.parametrize("layers", [2, 3, 4, 5])
@pytest.mark.parametrize(("optimizer", "is_adaptive", "near"), [(sgd, False, 0.05), (adam, True, 0.15)])
def test_the_first_gradient_scales_with_the_rate_as_told(layers, optimizer, is_adaptive, near):
    rates = (1e-4, 3e-4)
    (step, low), (again, high) = (first_gradient(layers, rate, optimizer) for rate in rates)
    assert step == again == layers - 1
    measured = math.log(high / low) / math.log(3)
    told = math.log(
        size(3e-4, layers - 1, is_adaptive=is_adaptive)[0] / size(1e-4, layers - 1, is_adaptive=is_adaptive)[0]
    ) / math.log(3)
    assert measured == pytest.approx(told, rel=near)


@pytest.mark.parametrize(("zeros", "power"), [(0, 0), (1, 1), (2, 3), (3, 7), (5, 31)])
def test_gradient_descent_squares_at_every_layer(zeros, power):
    assert size(0.01, zeros, is_adaptive=False) == (pytest.approx(0.01**power), f"0.01^{power}")


@pytest.mark.parametrize("zeros", range(6))
def test_adam_adds_one_power_a_layer(zeros):
    assert size(1e-3, zeros, is_adaptive=True) == (pytest.approx(1e-3**zeros), f"0.001^{zeros}")


def test_below_the_smallest_number_it_is_zero():
    assert size(1e-2, 10, is_adaptive=False)[0] == 0.0
