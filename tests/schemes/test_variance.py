"""Laws by fans beyond their moments: what they do to a signal, traps of peers, spectral norms, sparse rows."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero import schemes


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("phi", ["relu", "gelu", "silu", "tanh", "selu", "sigmoid", "softsign"])
def test_the_exact_gain_keeps_the_second_moment_of_one_layer(phi: str) -> None:
    z = torch.randn(512, 512, generator=seeded(), dtype=torch.float64)
    weight = torch.empty(512, 512, dtype=torch.float64)
    schemes.he_(weight, generator=seeded(1), gain=phi)
    assert (getattr(F, phi)(z) @ weight.T).square().mean().item() == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("phi", ["relu", "tanh", "selu"])
def test_and_through_depth_where_one_is_a_stable_point(phi: str) -> None:
    """Not for GELU and SiLU: they grow faster than linearly, so that a small excess over 1 grows with depth."""
    x = torch.randn(64, 512, generator=seeded(), dtype=torch.float64)
    x = getattr(F, phi)(x)
    for layer in range(20):
        weight = torch.empty(512, 512, dtype=torch.float64)
        z = x @ schemes.he_(weight, generator=seeded(layer + 1), gain=phi).T
        x = getattr(F, phi)(z)
    assert 0.5 < z.square().mean().item() < 2


def test_a_slope_is_not_a_gain() -> None:
    """torch's ``a`` makes weights smaller as it grows; our gain makes them larger."""
    theirs = [nn.init.kaiming_uniform_(torch.empty(200, 200), a=c * math.sqrt(5)).std().item() for c in (1, 2, 4)]
    ours = [schemes.he_(torch.empty(200, 200), generator=seeded(), gain=c).std().item() for c in (1, 2, 4)]
    assert theirs == sorted(theirs, reverse=True)
    assert ours == sorted(ours)
    assert theirs[0] == pytest.approx(
        schemes.torch_default_(torch.empty(200, 200), generator=seeded()).std().item(), rel=0.02
    )


def test_what_the_modules_of_torch_draw() -> None:
    for layer, n in ((nn.Linear(300, 400), 300), (nn.Conv2d(30, 40, 3), 270)):
        assert layer.bias is not None
        weight = schemes.torch_default_(torch.empty_like(layer.weight), generator=seeded())
        bias = schemes.torch_default_(torch.empty(100_000), generator=seeded(), fan_in=n)
        for ours, theirs in ((weight, layer.weight), (bias, layer.bias)):
            assert ours.abs().max().item() == pytest.approx(1 / math.sqrt(n), rel=1e-3)
            assert theirs.abs().max().item() <= 1 / math.sqrt(n)


@pytest.mark.parametrize(("out", "into"), [(64, 256), (256, 64), (128, 128)])
def test_the_spectral_scheme_has_a_spectral_norm_of_its_order(out: int, into: int) -> None:
    weight = schemes.spectral_(torch.empty(out, into), generator=seeded())
    assert 0.5 < torch.linalg.matrix_norm(weight, 2).item() / math.sqrt(out / into) < 3


def test_sparse_rows_have_their_number_of_entries() -> None:
    weight = schemes.sparse_(torch.empty(300, 10, 5), generator=seeded(), incoming=7, std=2.0)
    assert (weight.flatten(1) != 0).sum(1).unique().tolist() == [7]
    assert weight[weight != 0].std().item() == pytest.approx(2, rel=0.1)
    assert (schemes.sparse_(torch.empty(4, 3), generator=seeded()) != 0).all()
    with pytest.raises(ValueError, match="two axes"):
        schemes.sparse_(torch.empty(4), generator=seeded())


def test_fans_that_no_shape_shows() -> None:
    with pytest.raises(ValueError, match="pass fan_in="):
        schemes.he_(torch.empty(3), generator=seeded())
