import pytest
import torch
from torch import nn

from stepzero import api
from tests.rules.ask import ask, generator

X = torch.randn(24, 16, generator=generator(1))


def net(std=None, depth=2):
    torch.manual_seed(0)
    layers = [nn.Linear(16, 64), nn.Tanh()]
    for _ in range(depth - 1):
        layers += [nn.Linear(64, 64), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Linear(64, 1))
    if std is not None:
        nn.init.normal_(model[0].weight, std=std)
        nn.init.normal_(model[0].bias)
    return model


def square(output):
    return (output - 1).square().mean()


def said(model, batch=X, **options):
    return [each.severity for each in ask("SZ412", model, batch, square, **{"deep": True, **options})]


def test_responses_that_hardly_vary_make_one_gradient_of_all():
    assert said(net(1e-3)) == ["info"]


def test_the_spectrum_of_a_linear_map_is_that_of_its_data():
    trace = api.trace(nn.Linear(16, 1, bias=False), X, square, probes=["kernel"])
    values = torch.linalg.eigvalsh(X.double() @ X.double().T)
    assert trace.kernel.samples == 24
    assert trace.kernel.own.decades == pytest.approx(float(torch.log10(values[-1] / values[11])), rel=1e-6)


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_drawn_as_usual_it_is_silent_at_every_depth(depth):
    assert said(net(depth=depth)) == []


def test_data_that_hardly_vary_are_the_same_for_the_control():
    assert said(net(), 1.0 + 1e-3 * X) == []


def test_it_takes_a_deep_check_and_samples():
    assert said(net(1e-3), deep=False) == []
    assert said(net(1e-3), X[:4]) == []
