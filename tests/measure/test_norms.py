import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure.norms import affines


class ByHand(nn.Module):
    def __init__(self, offset: float = 0.0):
        super().__init__()
        self.weight, self.offset = nn.Parameter(torch.ones(8)), offset

    def forward(self, x):
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
        return (x * (self.weight + self.offset) if self.offset else self.weight * x) + 0.0 * x


def found(model, shape=(16, 8)):
    return [
        (affine.gain and affine.gain.parameter, affine.shift and affine.shift.parameter)
        for affine in affines(trace(model, torch.randn(shape)))
    ]


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.BatchNorm1d(8), nn.GroupNorm(2, 8)])
def test_norms_of_one_call(norm):
    assert found(nn.Sequential(nn.Linear(8, 8), norm)) == [("1.weight", "1.bias")]


def test_norms_without_a_shift_and_without_anything():
    assert found(nn.RMSNorm(8)) == [("weight", None)]
    assert found(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8, elementwise_affine=False))) == []


def test_norms_written_out():
    assert found(ByHand()) == [("weight", None)]


def test_gains_that_enter_changed_are_left_out():
    assert found(ByHand(1.0)) == []


def test_scales_of_anything_else_are_no_gains():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.fc = nn.Parameter(torch.ones(8)), nn.Linear(8, 8)

        def forward(self, x):
            return F.relu(self.fc(x)) * self.scale

    assert found(Scaled()) == []
