import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.rules.ask import generator, severities

X = torch.randn(64, 8, generator=generator(1))
LABELS = torch.arange(64) % 4
NUMBERS = torch.randn(64, 4, generator=generator(2))


def net():
    torch.manual_seed(0)
    return nn.Linear(8, 4)


SUMS = {
    "a loss of torch": lambda output, y: F.mse_loss(output, y, reduction="sum"),
    "by hand": lambda output, y: (output - y).square().sum(),
    "over features, then samples": lambda output, y: (output - y).square().sum(1).sum(),
    "one term of several": lambda output, y: (output - y).square().sum() + output.square().mean(),
}
MEANS = {
    "a loss of torch": F.mse_loss,
    "by hand": lambda output, y: (output - y).square().mean(),
    "over features, then a mean": lambda output, y: (output - y).square().sum(1).mean(),
    "divided by the samples": lambda output, y: (output - y).square().sum() / len(y),
    "times a small number": lambda output, y: 1e-3 * (output - y).square().sum(),
}


def said(loss, model=None, x=X, y=NUMBERS):
    return severities("SZ508", model or net(), x, loss, y)


@pytest.mark.parametrize("loss", SUMS.values(), ids=SUMS)
def test_a_sum_over_the_batch_is_a_note(loss):
    assert said(loss) == ["info"]
    model = net()
    twice = loss(model(X).repeat(2, 1), NUMBERS.repeat(2, 1)) / loss(model(X), NUMBERS)
    assert float(twice.detach()) > 1.9


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", MEANS.values(), ids=MEANS)
def test_what_is_divided_is_silent(loss):
    assert said(loss) == []


def test_one_sample_and_no_loss_are_silent():
    assert said(SUMS["by hand"], x=X[:1], y=NUMBERS[:1]) == []
    assert severities("SZ508", net(), X) == []


def test_a_sum_within_the_model_is_silent():
    class Energy(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(8, 4)

        def forward(self, x):
            return self.body(x).sum()

    assert severities("SZ508", Energy(), X, lambda output: output) == []
