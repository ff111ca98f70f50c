import pytest
import torch
from torch import nn

from tests.rules.ask import ask, severities

X = torch.randn(16, 8)


def model(value=None, buffer=None):
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    with torch.no_grad():
        if value is not None:
            made[0].weight[3, 2] = value
    if buffer is not None:
        made.register_buffer("kept", buffer)
    return made


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_value_is_enough(value):
    (finding,) = ask("SZ101", model(value), X)
    assert (finding.severity, finding.where, finding.value) == ("error", ("0.weight",), 1.0)
    assert "flat index 26" in finding.message


def test_a_log_decay_of_minus_infinity_counts_though_its_exponential_is_zero():
    class Decay(nn.Module):
        def __init__(self):
            super().__init__()
            self.log = nn.Parameter(torch.tensor([0.0, float("-inf"), 1.0] + [0.5] * 5))

        def forward(self, x):
            return x * self.log.exp()

    assert [finding.where for finding in ask("SZ101", Decay(), X)] == [("log",)]


def test_additive_masks_are_silent_and_broken_buffers_are_not():
    assert severities("SZ101", model(buffer=torch.full((4, 4), float("-inf")).triu(1)), X) == []
    assert severities("SZ101", model(buffer=torch.tensor([0.0, float("nan")])), X) == ["error"]
    assert severities("SZ101", model(buffer=torch.tensor([0.0, float("inf")])), X) == ["error"]


def test_finite_models_are_silent():
    assert severities("SZ101", model(3e38, torch.tensor([1, 2])), X) == []
