import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.rules.ask import ask, generator, reasons, severities

X = torch.randn(64, 8, generator=generator(1))
Y = torch.randn(64, 1, generator=generator(2))


def net(std=None, bias=0.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
    if std is not None:
        nn.init.normal_(model[2].weight, std=std)
    nn.init.constant_(model[2].bias, bias)
    return model


def said(model, target=Y, loss="mse"):
    return severities("SZ504", model, X, loss, target)


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_a_loud_head_and_a_shifted_one_warn(loss):
    assert said(net(2.0), loss=loss) == ["warning"]
    assert said(net(bias=5.0), loss=loss) == ["warning"]
    assert said(net(), Y + 10, loss) == ["warning"]


def test_the_number_is_in_deviations_of_the_targets():
    model = net()
    (finding,) = ask("SZ504", model, X, "mse", 0.5 * Y + 10)
    real = abs(float((model(X).detach() - 0.5 * Y - 10).mean())) / float((0.5 * Y).std(correction=0))
    assert (finding.value, finding.where) == (pytest.approx(real, rel=1e-4), ("2.weight",))


def test_a_little_too_loud_is_a_note():
    assert said(net(0.35)) == ["info"]
    assert said(net(0.35), loss="l1") == []


def test_raw_targets_are_the_root():
    found = {finding.code: finding for finding in ask("SZ", net(), X, "mse", 300 + 50 * Y)}
    assert found["SZ504"].root == found["SZ902"].id


# -- traps ----------------------------------------------------------------------------------------------------------


def test_sound_heads_are_silent():
    assert said(net()) == []
    assert said(net(bias=400.0), 400 + Y) == []
    zero = net()
    nn.init.zeros_(zero[2].weight)
    assert said(zero) == []


def test_constant_targets_and_teachers_are_not_judged():
    assert reasons("SZ504", net(), X, loss="mse", target=torch.ones(64, 1))

    class Student(nn.Module):
        def __init__(self):
            super().__init__()
            self.student, self.teacher = net(5.0), net()

        def forward(self, x):
            return self.student(x), self.teacher(x).detach()

    assert severities("SZ504", Student(), X, lambda pair: F.mse_loss(*pair)) == []


def test_rare_positives_are_a_note():
    rare = (torch.arange(64) % 32 == 0).float()[:, None]
    assert said(net(bias=0.9), rare) == ["info"]
