"""What counts as elementwise, and that everything else is refused in one line."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.measure.elementwise import as_function, check_elementwise, derivative, described, is_gain

POINTS = torch.linspace(-3, 3, 13, dtype=torch.float64)

REFUSED = {
    "mixes by softmax": (lambda z: z.softmax(-1), "mixes its elements"),
    "mixes by a sum": (lambda z: z.cumsum(0), "mixes its elements"),
    "mixes by a mean": (lambda z: z - z.mean(), "mixes its elements"),
    "depends on the place": (lambda z: z * torch.arange(len(z)), "mixes its elements"),
    "halves the vector": (nn.GLU(-1), "glu_gain"),
    "adds an axis": (lambda z: z[:, None], "shape"),
    "random": (lambda z: F.dropout(z, 0.5, training=True), "random"),
    "random slopes": (lambda z: F.rrelu(z, training=True), "random"),
    "another layout": (nn.LayerNorm(8), "cannot be called"),
    "no tensor": (lambda z: 1.0, "returns float"),
    "a bug": (lambda z: z.no_such_method(), "cannot be called"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_elementwise_is_refused_in_one_line(name: str) -> None:
    phi, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        check_elementwise(phi, "phi")
    assert "\n" not in str(caught.value)


def test_a_random_function_leaves_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="random"):
        check_elementwise(lambda z: z + torch.randn(len(z)), "phi")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("phi", [torch.tanh, torch.relu, F.gelu, nn.Mish(), lambda z: z.clamp_(0)])
def test_what_is_elementwise_passes(phi: object) -> None:
    check_elementwise(phi, "phi")  # type: ignore[arg-type]


def test_a_module_is_read_in_eval_mode_and_left_in_its_own() -> None:
    module = nn.Sequential(nn.RReLU(), nn.Dropout(0.5))
    phi = as_function(module)
    check_elementwise(phi, "phi")
    assert module.training
    assert torch.equal(phi(POINTS), F.rrelu(POINTS))


def test_learned_parameters_are_read_as_they_are() -> None:
    class Swish(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.beta = nn.Parameter(torch.tensor(2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.sigmoid(self.beta * x)

    module = Swish()
    assert torch.allclose(as_function(module)(POINTS), POINTS * torch.sigmoid(2 * POINTS))
    assert module.beta.dtype == torch.float32


def test_a_prelu_at_the_root_mean_square_of_its_slopes() -> None:
    module = nn.PReLU(2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.1, 0.7]))
    channels = F.prelu(POINTS.expand(2, -1).T, module.weight.double().detach())
    assert torch.allclose(as_function(module)(POINTS).square(), channels.square().mean(1))


def test_derivative() -> None:
    assert torch.allclose(derivative(torch.tanh, POINTS, "tanh"), 1 - torch.tanh(POINTS) ** 2)
    assert torch.equal(derivative(nn.ReLU(inplace=True), POINTS, "relu"), (POINTS > 0).double())
    with pytest.raises(ValueError, match="no gradient"):
        derivative(lambda z: (z > 0).double(), POINTS, "step")


def test_words() -> None:
    assert [described(phi) for phi in ("gelu", torch.tanh, nn.ReLU())] == ["'gelu'", "tanh", "ReLU"]
    assert [is_gain(moment) for moment in (0.5, 0.0, float("nan"), float("inf"))] == [True, False, False, False]
