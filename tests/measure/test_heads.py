import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure.heads import gain_backward, head_of

LABELS = torch.arange(32) % 10


def head(model, loss):
    record = trace(model, torch.randn(32, 16), loss)
    operation = next(operation for operation in record.operations if operation.kind == "loss")
    return record, head_of(record, operation)


def mlp(std=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 10))
    if std is not None:
        nn.init.normal_(model[2].weight, std=std)
    return model


@pytest.mark.parametrize(
    "loss",
    [
        lambda output: F.cross_entropy(output, LABELS),
        lambda output: F.nll_loss(F.log_softmax(output, -1), LABELS),
        lambda output: F.cross_entropy(output[..., None].flatten(1) / 2.0, LABELS),
    ],
)
def test_found_through_views_scales_and_softmax(loss):
    _, found = head(mlp(), loss)
    assert found is not None
    assert found.use.parameter == "2.weight"


def test_similarities_and_sums_have_none():
    model = mlp()
    assert head(model, lambda output: F.cross_entropy(output @ output.mT, torch.arange(32)))[1] is None

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(16, 10), nn.Linear(16, 10)

        def forward(self, x):
            return self.a(x) + self.b(x)

    assert head(Two(), lambda output: F.cross_entropy(output, LABELS))[1] is None


@pytest.mark.parametrize("std", [0.02, 0.125, 1.0])
def test_gain_is_std_times_root_fan_in(std):
    record, found = head(mlp(std), lambda output: F.cross_entropy(output, LABELS))
    assert gain_backward(record, found) == pytest.approx(std * 8, rel=0.15)


def test_a_head_written_as_a_convolution():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (16, 1, 1)), nn.Conv2d(16, 64, 1), nn.Tanh(), nn.Conv2d(64, 10, 1), nn.Flatten()
    )
    nn.init.normal_(model[3].weight, std=0.125)
    record, found = head(model, lambda output: F.cross_entropy(output, LABELS))
    assert gain_backward(record, found) == pytest.approx(1.0, rel=0.15)


def test_factors_in_front_and_behind_count_as_part_of_the_head():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp(1.0)

        def forward(self, x):
            return self.net[2](self.net[1](self.net[0](x)) * 0.25) * 0.5

    record, found = head(Scaled(), lambda output: F.cross_entropy(output, LABELS))
    assert gain_backward(record, found) == pytest.approx(8 / 8, rel=0.15)


def test_no_gain_without_a_gradient():
    model = mlp()
    model[0].requires_grad_(False)
    record, found = head(model, lambda output: F.cross_entropy(output, LABELS))
    assert gain_backward(record, found) is None
