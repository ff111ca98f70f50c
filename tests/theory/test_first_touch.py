"""Zero weights with random biases wake one layer a step: section 1.7 of the theory, trained in plain torch."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

from tests.theory.networks import batches, clusters, stack

DATA = clusters(20, samples=500)


def first_gradients(layers: int, optimizer, steps: int) -> list[float]:
    """Norm of the first layer's gradient at each step of a tanh net of width 16."""
    model = stack(20, *([16] * (layers - 1)), 5)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
            nn.init.normal_(layer.bias, std=0.5)
    chosen, norms = optimizer(model.parameters()), []
    for _, (inputs, labels) in zip(range(steps), batches(DATA), strict=False):
        chosen.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        norms.append(float(model[0].weight.grad.norm()))
        chosen.step()
    return norms


@pytest.mark.parametrize("layers", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("optimizer", [partial(SGD, lr=1e-2), partial(Adam, lr=1e-2, eps=1e-300)])
def test_the_first_layer_is_touched_at_step_layers_minus_one(layers: int, optimizer):
    norms = first_gradients(layers, optimizer, layers)
    assert norms[:-1] == [0.0] * (layers - 1)
    assert norms[-1] > 0.0


@pytest.mark.parametrize("layers", [2, 3, 4, 5, 6])
def test_with_sgd_the_first_gradient_is_a_doubly_exponential_power_of_the_rate(layers: int):
    assert exponent(SGD, layers) == pytest.approx(2 ** (layers - 1) - 1, rel=0.05)


@pytest.mark.parametrize("layers", [2, 3, 4, 5, 6])
def test_with_adam_it_is_the_power_of_depth(layers: int):
    # Smaller rates than with SGD: every unit moves by the whole rate, so 16 of them are not small against 1 at 3e-3.
    assert exponent(partial(Adam, eps=1e-300), layers, rate=1e-5) == pytest.approx(layers - 1, rel=0.1)


def exponent(optimizer, layers: int, rate: float = 1e-3) -> float:
    """Slope of the log of the first gradient over the log of the rate, between ``rate`` and three times that."""
    sizes = [first_gradients(layers, partial(optimizer, lr=lr), layers)[-1] for lr in (rate, 3 * rate)]
    return math.log(sizes[1] / sizes[0]) / math.log(3)


def test_until_then_the_network_is_a_constant():
    model = stack(20, 16, 16, 5)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
            nn.init.normal_(layer.bias, std=0.5)
    with torch.no_grad():
        out = model(DATA[0])
    assert bool((out == out[0]).all())


def test_a_head_bias_at_the_class_frequencies_is_an_exact_critical_point():
    model = stack(20, 16, 16, 5)
    inputs, _ = DATA
    labels = torch.arange(len(inputs)) % 5
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
            nn.init.normal_(layer.bias, std=0.5)
    nn.init.zeros_(model[4].bias)
    F.cross_entropy(model(inputs), labels).backward()
    assert float(model[4].weight.grad.abs().max()) < 1e-16
