import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.loudest import blocked_unit


def words(phi, value, *, sign=1):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), phi, nn.Linear(32, 4))
    with torch.no_grad():
        model[0].weight[5, 2] = value
    batch = torch.randn(64, 16)
    batch[:, 2] = sign * batch[:, 2].abs()
    return blocked_unit(trace(model, batch), "0.weight", 0.5)


@pytest.mark.parametrize(
    ("phi", "value", "sign", "said"),
    [
        (nn.Tanh(), 100.0, 1, "unit 5 is saturated at"),
        (nn.ReLU(), -100.0, 1, "unit 5 is off at every position"),
        (nn.ReLU(), 100.0, 1, ""),  # loud, and open
        (nn.Tanh(), 0.1, 1, ""),  # nothing stands out
        (nn.Linear(32, 32), 100.0, 1, ""),  # no activation to block it
    ],
)
def test_what_the_loud_unit_suffers(phi, value, sign, said):
    assert words(phi, value, sign=sign).startswith(said)
    assert bool(words(phi, value, sign=sign)) is bool(said)


def test_overflow_is_named_by_its_operation():
    assert words(nn.Tanh(), 3e38) == "linear returns NaN or infinity"


def test_a_layer_that_is_flat_as_a_whole_is_not_the_value_s_doing():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
    with torch.no_grad():
        model[0].weight.mul_(10)
        model[0].weight[5, 2] = 200.0
    assert blocked_unit(trace(model, torch.randn(64, 16)), "0.weight", 0.5) == ""
    assert blocked_unit(trace(model, torch.randn(64, 16)), "no such parameter", 0.5) == ""
