import math

import pytest
import torch

from stepzero.api import trace
from stepzero.measure.tails import farthest, reach, sure_reach


@pytest.mark.parametrize(("numel", "z"), [(1_000_000, 7.13), (16, 5.41)])
def test_reach_of_the_catalogue(numel, z):
    assert reach(numel, 1e-6) == pytest.approx(z, abs=0.01)
    assert numel * math.erfc(reach(numel, 1e-6) / math.sqrt(2)) == pytest.approx(1e-6, rel=1e-6)


def test_a_tensor_too_small_for_an_estimate_is_never_out_of_reach():
    assert sure_reach(16, 1e-6, 4.0) == math.inf
    assert sure_reach(1_000_000, 1e-6, 4.0) == pytest.approx(7.13 / (1 - 4 * 1.1664 / 32), abs=0.01)


@pytest.mark.parametrize("numel", [32, 64, 256, 1024])
def test_a_gaussian_tensor_stays_within_reach(numel):
    """100,000 tensors: the median absolute deviation is the estimate, as in the Trace."""
    generator = torch.Generator().manual_seed(numel)
    draws = torch.randn(100_000, numel, generator=generator)
    middle = draws.median(1, keepdim=True).values
    spread = 1.4826 * (draws - middle).abs().median(1).values
    far = (draws - draws.mean(1, keepdim=True)).abs().amax(1) / spread
    assert not (far > sure_reach(numel, 1e-6, 4.0)).any()


def fact(values):
    model = torch.nn.Linear(*values.shape[::-1], bias=False)
    with torch.no_grad():
        model.weight.copy_(values)
    return trace(model, torch.randn(4, values.shape[1])).parameter("weight")


def test_farthest_element_and_how_many_are_as_far():
    values = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    values[3, 5] = -30.0
    far = farthest(fact(values))
    assert far.value == -30.0
    assert far.deviations == pytest.approx(30, rel=0.1)
    assert far.share < 0.01
    values[3, 5] = 1.0
    values[:16] *= 30.0
    assert farthest(fact(values)).share > 0.01


def test_farthest_of_constants():
    assert farthest(fact(torch.full((8, 8), 2.0))).deviations == 0.0
    mostly = torch.full((8, 8), 2.0)
    mostly[0, 0] = 3.0
    assert farthest(fact(mostly)).deviations == math.inf
