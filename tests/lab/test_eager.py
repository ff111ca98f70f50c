import pytest
import torch

from stepzero.lab.activations import ACTIVATIONS
from stepzero.lab.eager import Stacked
from stepzero.lab.task import LOSSES
from stepzero.lab.update import Update
from tests.lab.fleets import PROGRAMS, Plain, loss_of, samples, starts

MAKERS = {
    "sgd": lambda p, u, lr: torch.optim.SGD(p, lr=lr, weight_decay=u.decay),
    "momentum": lambda p, u, lr: torch.optim.SGD(p, lr=lr, momentum=u.momentum, weight_decay=u.decay),
    "adam": lambda p, u, lr: torch.optim.Adam(p, lr=lr, weight_decay=u.decay),
    "adamw": lambda p, u, lr: torch.optim.AdamW(p, lr=lr, weight_decay=u.decay),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_are_autograds(name, activation, loss):
    built = PROGRAMS[name](activation)
    data, weights = samples(built, loss=loss), starts(built, 3)
    losses, values, deltas, gradients = Stacked(built, Update(), data).observe(weights)
    for number, own in enumerate(weights):
        module = Plain(built, own)
        expected = module(data.inputs)
        for value in expected[1:]:
            value.retain_grad()
        wanted = loss_of(expected[-1], data)
        wanted.backward()
        torch.testing.assert_close(losses[number], wanted.detach())
        torch.testing.assert_close(values[number], torch.cat([each.detach().T for each in expected]))
        torch.testing.assert_close(
            deltas[number, built.rows[0] :], torch.cat([each.grad.T for each in expected[1:]]), atol=1e-12, rtol=1e-8
        )
        torch.testing.assert_close(gradients[number], module.numbers.grad, atol=1e-12, rtol=1e-8)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_steps_are_torchs(name, decay):
    built, update = PROGRAMS["plain"]("tanh"), Update(name, decay=decay)
    data, weights, lrs = samples(built), starts(built, 2), torch.tensor([0.05, 0.01], dtype=torch.float64)
    order = torch.randint(0, 21, (2, 6, 8), generator=torch.Generator().manual_seed(3))
    modules = [Plain(built, own) for own in weights]
    losses = Stacked(built, update, data).train_(
        weights, (torch.zeros_like(weights), torch.zeros_like(weights)), lrs, order, 6, 0, torch.full((2,), -1)
    )
    for number, module in enumerate(modules):
        optimizer = MAKERS[name](module.parameters(), update, float(lrs[number]))
        for step in range(6):
            chosen = order[number, step]
            optimizer.zero_grad()
            loss = loss_of(module(data.inputs[chosen])[-1], data, chosen)
            loss.backward()
            optimizer.step()
            torch.testing.assert_close(losses[number, step], loss.detach())
        torch.testing.assert_close(weights[number], module.numbers.detach())
