"""The bias of a head starts at the best constant guess, from targets alone, and the first loss shows it."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import stepzero as sz

X = torch.randn(120, 8, generator=torch.Generator().manual_seed(1))
RARE = torch.tensor([0] * 100 + [1] * 15 + [2] * 5)


def model(outputs=3):
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, outputs))


def test_cross_entropy_starts_at_the_log_prior():
    net = model()
    sz.init_(net, X, loss="cross_entropy", target=RARE)
    expected = torch.log(torch.tensor([101.0, 16.0, 6.0]) / 123)
    assert torch.allclose(net[2].bias, expected - expected.mean(), atol=1e-6)
    prior = torch.bincount(RARE) / len(RARE)
    entropy = -float((prior * prior.log()).sum())
    assert float(F.cross_entropy(net(X), RARE).detach()) <= entropy + 0.1  # sigma^2 / 2 = 0.045 for logits of 0.3


def test_binary_cross_entropy_starts_at_the_logit_of_the_share():
    net, target = model(2), torch.zeros(120, 2)
    target[:10, 0] = 1.0
    sz.init_(net, X, loss="bce_with_logits", target=target)
    share = torch.tensor([11 / 122, 1 / 122])
    assert torch.allclose(net[2].bias, torch.logit(share), atol=1e-5)


@pytest.mark.parametrize("loss", ["mse", F.smooth_l1_loss])
def test_regression_starts_at_the_mean(loss):
    net, target = model(2), torch.randn(120, 2) + torch.tensor([5.0, -7.0])
    sz.init_(net, X, loss=loss, target=target)
    assert torch.allclose(net[2].bias, target.mean(0), atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (None, None),
        ("cross_entropy", RARE[:6]),  # two a class say nothing of the prior
        ("mse", torch.full((120, 3), math.nan)),
    ],
)
def test_without_targets_that_say_enough_it_is_zero(loss, target):
    net = model()
    batch = X if target is None else X[: len(target)]
    sz.init_(net, batch, loss=loss, target=target)
    assert not net[2].bias.any()


def test_ignored_targets_do_not_count():
    net, target = model(), RARE.clone()
    target[:60] = -100
    sz.init_(net, X, loss="cross_entropy", target=target)
    counts = torch.tensor([41.0, 16.0, 6.0])
    expected = torch.log(counts / counts.sum())
    assert torch.allclose(net[2].bias, expected - expected.mean(), atol=1e-6)


def test_a_kept_bias_is_kept():
    net = model()
    nn.init.constant_(net[2].bias, 3.0)
    sz.init_(net, X, loss="cross_entropy", target=RARE, keep=["2.bias"])
    assert net[2].bias.tolist() == [3.0] * 3


def test_one_step_wakes_every_weight():
    net = model()
    sz.init_(net, X, loss="cross_entropy", target=RARE)
    F.cross_entropy(net(X), RARE).backward()
    assert all(float(parameter.grad.abs().max()) > 0 for parameter in net.parameters())
