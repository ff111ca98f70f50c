"""Deep plain networks: the edge of chaos as a fixed point, random walks of the logarithm."""

import math

import pytest
import torch

from stepzero import schemes


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("phi", "square"), [("tanh", 0.5), ("tanh", 2.0), ("hardtanh", 1.0), (torch.sin, 0.3)])
def test_at_the_edge_of_chaos_the_signal_stays_and_so_do_differences(phi: object, square: float) -> None:
    sigma_w, sigma_b = schemes.edge_of_chaos(phi, square=square)  # type: ignore[arg-type]
    forward = schemes.activation_gain(phi, square=square)  # type: ignore[arg-type]
    backward = schemes.activation_gain(phi, mode="out", square=square)  # type: ignore[arg-type]
    assert sigma_w**2 / forward**2 + sigma_b**2 == pytest.approx(square, rel=1e-9)
    assert sigma_w**2 / backward**2 == pytest.approx(1, rel=1e-9)


def test_relu_is_on_the_edge_without_a_bias() -> None:
    assert schemes.edge_of_chaos("relu", square=3.0) == pytest.approx((math.sqrt(2), 0.0))


@pytest.mark.parametrize("phi", ["sigmoid", "softplus"])
def test_no_edge_of_chaos(phi: str) -> None:
    with pytest.raises(ValueError, match="no edge of chaos"):
        schemes.edge_of_chaos(phi)


def test_random_walks_keep_the_logarithm() -> None:
    """E log of the squared norm of a narrow layer's output: 0 to first order in 1 / n; at variance 1 / n not."""

    def drift(scheme: str, n: int) -> float:
        options = {"activation": "linear"} if scheme == "random_walk" else {}
        fill = schemes.get(scheme)
        weights = [fill(torch.empty(n, n, dtype=torch.float64), generator=seeded(s), **options) for s in range(4000)]
        return float(torch.stack([w[:, 0].square().sum().log() for w in weights]).mean())

    assert abs(drift("random_walk", 16)) < 0.03 < abs(drift("lecun", 16))


def test_other_activations_have_no_formula() -> None:
    with pytest.raises(ValueError, match="'linear' or 'relu'"):
        schemes.random_walk_(torch.empty(3, 3), generator=seeded(), activation="tanh")  # type: ignore[arg-type]
