import pytest
import torch
from torch import nn

from stepzero.core.optimizer import OptimizerFact
from stepzero.probe.capture import capture
from stepzero.probe.sharpness import sharpness
from stepzero.probe.subject import subject_of
from tests.probe.observing import seeded


def measured(model, x, y, lr=1.0, name="SGD", loss="mse"):
    from dataclasses import replace

    subject = subject_of(model, x, loss, y)
    return sharpness(subject, replace(capture(subject), optimizer=OptimizerFact(name=name, lr=lr)))


def test_it_is_the_largest_eigenvalue_of_the_hessian():
    torch.manual_seed(0)
    model, x, y = (
        nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double(),
        seeded(20, 4).double(),
        seeded(20, 1),
    )
    flat = torch.cat([each.detach().flatten() for each in model.parameters()])

    def loss(vector):
        values, start = {}, 0
        for name, each in model.named_parameters():
            values[name], start = vector[start : start + each.numel()].view_as(each), start + each.numel()
        return nn.functional.mse_loss(torch.func.functional_call(model, values, (x,)), y)

    exact = float(torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat)).abs().max())
    assert measured(model, x, y).value == pytest.approx(exact, rel=0.02)
    assert measured(model, x, y, lr=0.1).value == pytest.approx(0.1 * exact, rel=0.02)


@pytest.mark.parametrize(("name", "lr"), [("Adam", 1.0), ("SGD", None), ("", 1.0)])
def test_other_optimizers_have_another_limit(name, lr):
    assert not measured(nn.Linear(4, 1), seeded(8, 4), seeded(8, 1), lr=lr, name=name).ran
