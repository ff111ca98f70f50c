import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 32, generator=generator(7))
LABELS = torch.arange(64) % 10


def net(*last, classes=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, classes), *last)


def cross_entropy(output):
    return F.cross_entropy(output, LABELS)


def with_logits(output):
    return F.binary_cross_entropy_with_logits(output, F.one_hot(LABELS, 10).float())


def likelihood(output):
    return F.nll_loss(output, LABELS)


def divergence(output):
    return F.kl_div(output, F.one_hot(LABELS, 10).float(), reduction="batchmean")


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (nn.Softmax(-1), cross_entropy),
        (nn.Sigmoid(), cross_entropy),
        (nn.Sigmoid(), with_logits),
        (nn.Softmax(-1), with_logits),
        (nn.Softmax(-1), likelihood),
        (nn.Softmax(-1), divergence),
        (nn.Sequential(nn.Softmax(-1), nn.Unflatten(1, (10, 1)), nn.Flatten()), cross_entropy),
    ],
)
def test_squashed_twice(last, loss):
    (finding,) = ask("SZ505", net(last), X, loss)
    assert finding.severity == "error"
    assert finding.where[0].startswith("3")


def test_raw_values_into_a_likelihood():
    (finding,) = ask("SZ505", net(), X, likelihood)
    assert finding.where == ("2.weight", "2.bias")
    assert "wants log-probabilities and receives raw values" in finding.message


def test_the_loss_it_cannot_fall_below():
    """The oracle: the best that probabilities can do, all mass on the label."""
    (finding,) = ask("SZ505", net(nn.Softmax(-1)), X, cross_entropy)
    best = F.cross_entropy(F.one_hot(LABELS, 10).float(), LABELS)
    assert finding.value == pytest.approx(float(best), rel=1e-5)
    assert math.isclose(finding.value, 1.461, rel_tol=1e-3)


def test_a_softmax_inside_the_loss_function():
    assert severities("SZ505", net(), X, lambda output: F.cross_entropy(output.softmax(-1), LABELS)) == ["error"]


# -- traps ----------------------------------------------------------------------------------------------------------


class Log(nn.Module):
    def forward(self, x):
        return x.log()


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        ([], cross_entropy),
        ([], with_logits),
        ([nn.LogSoftmax(-1)], cross_entropy),
        ([nn.LogSoftmax(-1)], likelihood),
        ([nn.Softmax(-1), Log()], likelihood),
        ([nn.LogSoftmax(-1)], divergence),
        ([nn.Tanh()], cross_entropy),
        ([nn.Sigmoid()], lambda output: F.binary_cross_entropy(output, F.one_hot(LABELS, 10).float())),
        ([nn.Sigmoid()], lambda output: F.mse_loss(output, F.one_hot(LABELS, 10).float())),
    ],
)
def test_what_the_loss_wants_is_silent(last, loss):
    assert severities("SZ505", net(*last), X, loss) == []


def test_probabilities_as_targets_are_silent():
    class Student(nn.Module):
        def __init__(self):
            super().__init__()
            self.teacher, self.student = net().requires_grad_(False), net()

        def forward(self, x):
            return self.student(x), self.teacher(x).softmax(-1)

    assert severities("SZ505", Student(), X, lambda pair: F.cross_entropy(pair[0], pair[1])) == []


def test_attention_and_routers_are_silent():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    model = nn.Sequential(nn.Unflatten(1, (4, 8)), nn.Linear(8, 32), layer, nn.Flatten(), nn.Linear(128, 10))
    assert severities("SZ505", model, X, cross_entropy) == []
