import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 16, generator=generator(1))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))


def said(scale, optimizer="adam", model=None):
    return severities("SZ409", model or net(), X, lambda output: scale * output.square().mean(), optimizer=optimizer)


def test_a_tiny_loss_under_adam():
    model = net()
    loss = lambda output: 1e-8 * output.square().mean()  # noqa: E731 - as short as the others
    (finding,) = ask("SZ409", model, X, loss, optimizer=torch.optim.Adam(model.parameters()))
    assert finding.severity == "warning"
    assert set(finding.where) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    loss(model(X)).backward()
    below = {name for name, each in model.named_parameters() if float(each.grad.abs().median()) < 1e-7}
    assert below == set(finding.where)


def test_epsilon_is_the_optimizers_own():
    model = net()
    assert said(1e-4, torch.optim.Adam(model.parameters()), model) == []
    assert said(1e-4, torch.optim.Adam(model.parameters(), eps=1e-3), model) == ["warning"]
    assert said(1e-6, torch.optim.Adam(model.parameters()), model) == ["warning"]
    assert said(1e-6, torch.optim.Adagrad(model.parameters()), model) == []


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [None, "sgd", "lion"])
def test_without_an_epsilon_it_is_silent(optimizer):
    assert said(1e-8, optimizer) == []


def test_usual_gradients_are_silent():
    assert said(1.0) == []


def test_parameters_without_a_gradient_yet_are_judged_when_they_wake():
    model = net()
    nn.init.zeros_(model[2].weight)
    model[2].bias.data.fill_(1.0)
    assert said(1.0, model=model) == []
