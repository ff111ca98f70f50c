"""The entropy rank against closed forms and its invariances."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepzero.measure.rank import entropy_rank


def spread(shares, rows=64, units=32, seed=0):
    """Centred responses whose principal variances stand in the given ratios."""
    draw = torch.Generator().manual_seed(seed)
    left = torch.randn(rows, len(shares), generator=draw, dtype=torch.float64)
    left, _ = torch.linalg.qr(left - left.mean(0))
    right, _ = torch.linalg.qr(torch.randn(units, len(shares), generator=draw, dtype=torch.float64))
    return left * torch.tensor(shares, dtype=torch.float64).sqrt() @ right.T


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12), st.integers(0, 99), st.floats(-5, 5))
def test_it_is_the_exponential_of_the_entropy_of_the_variances(variances, seed, offset):
    total = sum(variances)
    entropy = -sum(each / total * math.log(each / total) for each in variances)
    found = float(entropy_rank(spread(variances, seed=seed) + offset))
    assert found == pytest.approx(math.exp(entropy), rel=1e-6)


def test_equal_directions_count_fully_whichever_side_is_longer():
    for shape in ((64, 8), (9, 40)):
        samples = spread([1.0] * 8, *shape)
        assert float(entropy_rank(samples)) == pytest.approx(8.0)


def test_one_direction_is_one_and_a_scale_changes_nothing():
    line = torch.randn(40, 1, generator=torch.Generator().manual_seed(1)) * torch.randn(1, 10)
    assert float(entropy_rank(line)) == pytest.approx(1.0, abs=1e-4)
    assert float(entropy_rank(1e-20 * line.double())) == pytest.approx(1.0, abs=1e-4)


def test_constant_responses_have_none_even_where_their_mean_rounds():
    assert float(entropy_rank(torch.full((33, 7), 0.1))) == 0.0
    assert float(entropy_rank(torch.zeros(33, 7))) == 0.0


def test_what_is_not_finite_has_no_rank():
    samples = torch.randn(8, 4)
    samples[3, 2] = math.inf
    assert math.isnan(float(entropy_rank(samples)))
