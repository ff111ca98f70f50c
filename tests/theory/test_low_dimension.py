"""Zero biases on one-dimensional inputs bound the tangent kernel: section 1.8 of the theory, in plain torch."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from tests.theory.networks import stack

SAMPLES = 64
DEPTHS = [(1, 10), (1, 100), (3, 10), (3, 100), (10, 10), (10, 100)]


def kernel_spectrum(inputs: Tensor, hidden: int, width: int, *, bias_std: float = 0.0) -> Tensor:
    """Singular values of the tangent kernel of a ReLU net over all weights and biases, largest first, largest = 1."""
    model = stack(1, *([width] * hidden), 1, act=nn.ReLU)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.normal_(layer.bias, std=bias_std) if bias_std else nn.init.zeros_(layer.bias)
    values = {name: value.detach() for name, value in model.named_parameters()}
    rows = jacrev(lambda at: functional_call(model, at, (inputs[:, None],))[:, 0])(values)
    jacobian = torch.cat([row.flatten(1) for row in rows.values()], 1)
    spectrum = torch.linalg.svdvals(jacobian @ jacobian.T)
    return spectrum / spectrum[0]


def line(low: float, high: float, *, with_zero: bool) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = low + (high - low) * torch.rand(SAMPLES, generator=generator, dtype=torch.float64)
    if with_zero:
        x[0] = 0.0
    return x


@pytest.mark.parametrize(("hidden", "width"), DEPTHS)
@pytest.mark.parametrize(
    ("low", "with_zero", "bound"), [(-1.0, False, 4), (0.0, False, 2), (-1.0, True, 5), (0.0, True, 3)]
)
def test_zero_biases_bound_the_rank(hidden: int, width: int, low: float, with_zero: bool, bound: int):
    spectrum = kernel_spectrum(line(low, 1.0, with_zero=with_zero), hidden, width)
    assert int((spectrum > 1e-9).sum()) <= bound
    kept = spectrum[:bound][spectrum[:bound] > 1e-9]
    assert float(kept[-1] / spectrum[bound].clamp_min(1e-300)) > 1e6


@pytest.mark.parametrize(("hidden", "width"), [(1, 100), (3, 100)])
def test_wide_shallow_nets_reach_the_bound(hidden: int, width: int):
    assert int((kernel_spectrum(line(-1.0, 1.0, with_zero=False), hidden, width) > 1e-9).sum()) == 4


@pytest.mark.parametrize(("hidden", "width"), [(1, 100), (3, 100)])
def test_random_biases_lift_it(hidden: int, width: int):
    spectrum = kernel_spectrum(line(-1.0, 1.0, with_zero=False), hidden, width, bias_std=0.5)
    assert int((spectrum > 1e-9).sum()) >= 17


def test_the_net_is_homogeneous():
    model = stack(1, 10, 10, 1, act=nn.ReLU)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    x = line(-1.0, 1.0, with_zero=False)[:, None]
    with torch.no_grad():
        torch.testing.assert_close(model(2 * x), 2 * model(x), rtol=1e-12, atol=0)
