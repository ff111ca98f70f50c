import math

import pytest
import torch

from stepzero.measure.sharpness import logits_of, spread_over_keys


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [0.1, 3.0])
@pytest.mark.parametrize("samples", [2, 8])
def test_the_spread_of_gaussian_logits(sigma, samples):
    std, keys = spread_over_keys(sigma * drawn(samples, 64, 50))
    assert float(std) == pytest.approx(sigma, rel=0.05)
    assert float(keys) == 50


def test_what_all_samples_share_does_not_count():
    logits = drawn(8, 16, 50)
    bias = 4 * drawn(1, 16, 50, seed=1)
    assert float(spread_over_keys(logits + bias)[0]) == pytest.approx(float(spread_over_keys(logits)[0]), rel=1e-4)


@pytest.mark.parametrize("lowest", [-math.inf, -100.0, -1e4, torch.finfo(torch.float32).min])
def test_masked_keys_do_not_count(lowest):
    logits = drawn(8, 16, 50)
    logits[:, :, 30:] = logits[:, :, 30:] + lowest if math.isfinite(lowest) else lowest
    std, keys = spread_over_keys(logits)
    assert float(keys) == 30
    assert float(std) == pytest.approx(1.0, rel=0.1)


def test_masks_may_differ_between_samples():
    logits = drawn(8, 16, 50)
    logits[::2, :, 25:] -= 100.0
    assert float(spread_over_keys(logits)[0]) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("sigma", [20.0, 100.0, 1e3, 1e5])
@pytest.mark.parametrize("shape", [(8, 16, 50), (2, 2, 16), (8, 64, 1024)])
def test_keys_of_scores_that_are_far_too_wide_all_count(sigma, shape):
    for seed in range(5):
        std, keys = spread_over_keys(sigma * drawn(*shape, seed=seed))
        assert float(keys) == shape[-1]
        assert float(std) == pytest.approx(sigma, rel=0.5)


@pytest.mark.parametrize(
    ("sigma", "lowest"), [(8.0, -100.0), (20.0, -1e3), (300.0, -1e4), (1e3, -1e9), (1e5, -math.inf)]
)
@pytest.mark.parametrize("is_added", [True, False])
def test_masks_below_wide_scores(sigma, lowest, is_added):
    logits = sigma * drawn(8, 16, 64)
    kept = torch.ones(16, 64, dtype=torch.bool).tril(48)
    logits = torch.where(kept, logits, logits + lowest if is_added else torch.full_like(logits, lowest - 4 * sigma))
    std, keys = spread_over_keys(logits)
    assert float(keys) == pytest.approx(float(kept.sum(-1).double().mean()))
    assert float(std) == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_lowest_number_of_a_dtype_and_half_of_it_are_masks(dtype, share):
    logits = (2 * drawn(4, 8, 32)).to(dtype)
    logits[:, :, ::2] = torch.finfo(dtype).min * share
    assert float(spread_over_keys(logits)[1]) == 16


def test_two_kinds_of_masks_at_once():
    logits = drawn(8, 16, 49)
    logits[1::2, :, 30:] -= 100.0
    logits[:, :, 45:] = torch.finfo(torch.float32).min
    std, keys = spread_over_keys(logits)
    assert float(keys) == pytest.approx((45 + 30) / 2)
    assert float(std) == pytest.approx(1.0, rel=0.1)


def test_few_keys_need_a_mask_that_is_sure():
    logits = drawn(2, 1, 4)
    logits[:, :, 2:] -= 1e4
    assert float(spread_over_keys(logits)[1]) == 2
    assert float(spread_over_keys(200 * drawn(2, 1, 4))[1]) == 4


@pytest.mark.parametrize("lowest", [-1e4, -1e9, -math.inf])
@pytest.mark.parametrize("shape", [(8, 16, 64), (2, 1, 4)])
def test_one_key_a_row_is_one_key(lowest, shape):
    logits = drawn(*shape)
    logits[:, :, 1:] += lowest
    std, keys = spread_over_keys(logits)
    assert (float(std), float(keys)) == (0.0, 1.0)


def test_rows_without_any_key_say_nothing():
    logits = drawn(4, 8, 16)
    logits[:, 0] = -math.inf
    std, keys = spread_over_keys(logits)
    assert math.isfinite(std)
    assert float(keys) == 14


def test_one_sample_says_nothing():
    assert spread_over_keys(drawn(1, 16, 50)) is None


@pytest.mark.parametrize("scale", [None, 1.0])
def test_logits_of_a_few_queries(scale):
    query, key = drawn(4, 6, 10, 16), drawn(4, 6, 12, 16, seed=1)
    found = logits_of(query, key, scale, samples=3, most=1024)
    every = query @ key.mT * (scale or 0.25)
    assert found.shape == (3, 2, 12)
    assert torch.allclose(found[:, 0], every[:3, 0, -1], atol=1e-5)
    assert torch.allclose(found[:, 1], every[:3, -1, -1], atol=1e-5)


def test_grouped_heads_and_many_keys():
    query, key = drawn(4, 6, 10, 16), drawn(4, 2, 500, 16, seed=1)
    assert logits_of(query, key, None, samples=8, most=100).shape == (4, 2, 100)
    assert logits_of(drawn(4, 10, 16), drawn(4, 12, 16), None, samples=8, most=100).shape == (4, 2, 12)
    assert logits_of(drawn(10, 16), drawn(12, 16), None, samples=8, most=100) is None
