"""The derivative of any elementwise callable against its formula."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stepzero.measure import slope

Z = torch.linspace(-6, 6, 241, dtype=torch.float64)


def normal_density(z: Tensor) -> Tensor:
    return torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)


DERIVATIVES = {
    "tanh": (torch.tanh, lambda z: 1 - torch.tanh(z) ** 2),
    "sigmoid": (torch.sigmoid, lambda z: torch.sigmoid(z) * torch.sigmoid(-z)),
    "relu": (F.relu, lambda z: (z > 0).double()),
    "leaky relu": (lambda z: F.leaky_relu(z, 0.2), lambda z: 0.2 + 0.8 * (z > 0).double()),
    "gelu": (F.gelu, lambda z: 0.5 * (1 + torch.erf(z / math.sqrt(2))) + z * normal_density(z)),
    "silu": (F.silu, lambda z: torch.sigmoid(z) * (1 + z * torch.sigmoid(-z))),
    "softplus": (F.softplus, torch.sigmoid),
    "sine of 30 z": (lambda z: torch.sin(30 * z), lambda z: 30 * torch.cos(30 * z)),
    "written out": (lambda z: z * torch.exp(-z * z), lambda z: (1 - 2 * z * z) * torch.exp(-z * z)),
    "hard limits": (lambda z: z.clamp(-1, 1), lambda z: (z.abs() <= 1).double()),
    "constant": (lambda z: z * 0 + 3, torch.zeros_like),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_the_slope_is_the_derivative(name: str) -> None:
    function, derivative = DERIVATIVES[name]
    torch.testing.assert_close(slope.slope_at(function, Z), derivative(Z), rtol=1e-9, atol=1e-9)


def test_the_shape_is_kept_and_the_input_left_alone() -> None:
    z = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    before = z.clone()
    assert slope.slope_at(torch.tanh, z).shape == z.shape
    assert torch.equal(z, before)
    assert not z.requires_grad


def test_it_works_where_gradients_are_off_and_leaves_them_off() -> None:
    with torch.no_grad():
        assert slope.slope_at(torch.tanh, torch.zeros(1)).item() == 1.0
        assert not torch.is_grad_enabled()


def test_hooks_of_a_surrounding_checkpoint_see_nothing() -> None:
    seen = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: seen.append(tensor) or tensor, lambda tensor: tensor):
        slope.slope_at(torch.tanh, torch.zeros(4))
    assert seen == []


@pytest.mark.parametrize(
    ("function", "largest"),
    [
        (torch.tanh, 1.0),
        (torch.sigmoid, 0.25),
        (F.relu, 1.0),
        (lambda z: -3 * z, 3.0),
        # GELU is steepest at sqrt(2): Phi(sqrt 2) + sqrt(2) density(sqrt 2)
        (F.gelu, 0.5 * (1 + math.erf(1)) + math.sqrt(2) * math.exp(-1) / math.sqrt(2 * math.pi)),
    ],
)
def test_the_largest_slope(function, largest: float) -> None:
    assert slope.largest_slope(function, torch.zeros(1)) == pytest.approx(largest, abs=1e-5)


def test_the_largest_slope_of_a_function_with_a_parameter_for_each_unit() -> None:
    slopes = torch.tensor([0.5, -2.0, 0.1])
    assert slope.largest_slope(lambda z: F.prelu(z, slopes), torch.zeros(7, 3)) == 2.0


def test_shares_of_flat_and_of_exactly_flat_positions() -> None:
    z = torch.tensor([[-4.0, 0.0], [-3.5, 0.0], [0.0, 9.0], [4.0, -9.0]])
    # sigmoid' < 0.1 x 0.25 beyond ln((1 - s) / s) = 3.637, where s (1 - s) = 0.025
    flat, off = slope.flat_shares(slope.slope_at(torch.sigmoid, z), 0.25)
    assert flat.tolist() == [0.5, 0.5]
    assert off.tolist() == [0.0, 0.0]
    flat, off = slope.flat_shares(slope.slope_at(F.hardtanh, z), 1.0)
    assert flat.tolist() == off.tolist() == [0.75, 0.5]


def test_a_small_slope_is_not_a_slope_of_zero() -> None:
    flat, off = slope.flat_shares(torch.full((4, 1), 1e-30), 1.0)
    assert (flat.item(), off.item()) == (1.0, 0.0)
