import pytest
import torch
from torch import nn

from stepzero.core.optimizer import OptimizerFact
from stepzero.probe.capture import capture
from stepzero.probe.first_step import first_step
from stepzero.probe.optimizer import optimizer_fact
from stepzero.probe.subject import subject_of
from tests.probe.observing import seeded

X, Y = seeded(32, 6), seeded(32, 2)


def stepped(model, optimizer, lr=None):
    from dataclasses import replace

    subject = subject_of(model, X, "mse", Y)
    subject.optimizer = optimizer
    told = optimizer_fact(optimizer, lr, model) if optimizer is not None else OptimizerFact(lr=lr)
    return first_step(subject, replace(capture(subject), optimizer=told))


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad])
def test_the_step_is_that_of_the_optimizer(kind):
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    found = stepped(model, kind(model.parameters(), lr=0.05))
    optimizer = kind(model.parameters(), lr=0.05)
    loss = nn.functional.mse_loss(model(X), Y)
    loss.backward()
    assert found.before == pytest.approx(float(loss.detach()))
    optimizer.step()
    assert found.after == pytest.approx(float(nn.functional.mse_loss(model(X), Y).detach()), rel=1e-5)
    assert found.alone == ()


def test_a_rate_given_by_hand_scales_every_group():
    model = nn.Linear(6, 2)
    groups = [{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.2}]
    double = [{"params": [model.weight], "lr": 0.2}, {"params": [model.bias], "lr": 0.4}]
    by_hand = stepped(model, torch.optim.SGD(groups), lr=0.2)
    assert by_hand.after == pytest.approx(stepped(model, torch.optim.SGD(double)).after)


def test_a_rise_is_taken_apart_by_parameter():
    model = nn.Linear(6, 2)
    found = stepped(model, torch.optim.SGD(model.parameters(), lr=50.0))
    assert found.after > found.before
    assert [name for name, _ in found.alone] == ["weight", "bias"] or [name for name, _ in found.alone] == [
        "bias",
        "weight",
    ]
    losses = [loss for _, loss in found.alone]
    assert losses == sorted(losses, reverse=True)


def test_what_cannot_be_made_is_told():
    model = nn.Linear(6, 2)
    assert "cannot be made" in stepped(model, "nonsense", lr=0.1).reason
    assert "gradients alone" in stepped(model, torch.optim.LBFGS(model.parameters())).reason
