"""What gives a reason to draw the model by law, and what does not."""

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.oddities import directions_of, of_oddity
from tests.rules.ask import generator, he

X, LABELS = torch.randn(64, 32, generator=generator()), torch.arange(64) % 10


def plain(phi=nn.ReLU, depth=4, width=64):
    layers = [nn.Linear(32, width), phi()]
    for _ in range(depth):
        layers += [nn.Linear(width, width), phi()]
    return he(nn.Sequential(*layers, nn.Linear(width, 10)))


def reason(model, batch=X):
    return of_oddity(trace(model, batch, "cross_entropy", LABELS))


@pytest.mark.parametrize("phi", [nn.ReLU, nn.Tanh, nn.GELU])
def test_a_sound_network_gives_none(phi):
    assert reason(plain(phi)) == ""


def test_weights_of_one_sign_put_all_responses_on_a_line():
    model = plain()
    nn.init.uniform_(model[4].weight, 0.0, 0.1, generator=generator())
    assert reason(model) == "responses of 4.weight lie in few directions"


def test_a_batch_that_lies_in_few_directions_is_no_oddity_of_the_model():
    line = torch.randn(64, 1, generator=generator()) * torch.ones(1, 32)
    assert reason(plain(), line) == ""


def test_four_projections_count_directions_up_to_four():
    observed = trace(nn.Sequential(nn.Linear(32, 40, bias=False)), X)
    assert 3.3 < directions_of(observed.operations[1]) <= 4.0
    observed = trace(nn.Sequential(nn.Linear(32, 40)), torch.randn(64, 1) * torch.ones(1, 32) + 7)
    assert directions_of(observed.operations[1]) == pytest.approx(1.0, abs=1e-3)


def test_a_head_that_is_sure_of_one_class_is_odd_and_one_that_merely_prefers_it_is_not():
    model = plain()
    with torch.no_grad():
        model[-1].weight.mul_(0.01)
        model[-1].bias[3] = 8.0
    assert reason(model) == "one class wins 100% of the samples"
    with torch.no_grad():
        model[-1].bias[3] = 0.5
    assert reason(model) == ""


def test_without_a_backward_nothing_is_asked():
    assert of_oddity(trace(nn.Linear(32, 10).requires_grad_(False), X)) == ""
