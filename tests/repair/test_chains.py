"""Laws of plain chains, against closed forms and against the gradients of chains that were drawn."""

import math

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero import schemes
from stepzero.measure.gain import activation_gain
from stepzero.repair import chains

X = torch.randn(128, 64, generator=torch.Generator().manual_seed(0))


def chain(activation: type[nn.Module], layers: int) -> nn.Sequential:
    made: list[nn.Module] = []
    for _ in range(layers - 1):
        made += [nn.Linear(64, 64), activation()]
    return nn.Sequential(*made, nn.Linear(64, 4))


@pytest.mark.parametrize("layers", [4, 20, 200])
def test_relu_keeps_unit_size_at_every_depth(layers: int) -> None:
    assert chains.steady_std("relu", layers) == 1.0


def test_the_bound_is_met_exactly_where_one_is_needed() -> None:
    for layers in (11, 21, 31):
        square = chains.steady_std("tanh", layers) ** 2
        forward, backward = (activation_gain("tanh", mode=mode, square=square) for mode in ("in", "out"))
        assert (square * (forward / backward) ** 2) ** layers == pytest.approx(math.e, rel=1e-3)


def test_deeper_chains_of_tanh_get_smaller_signals() -> None:
    sizes = [chains.steady_std("tanh", layers) for layers in (5, 10, 20, 40)]
    assert sizes[0] == 1.0
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] >= 0.25


def test_what_is_no_activation_keeps_one() -> None:
    assert chains.steady_std("softmax", 30) == 1.0


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8)])
def test_an_orthogonal_matrix_of_that_gain_has_entries_of_the_law(shape: tuple[int, int]) -> None:
    gain = chains.orthogonal_gain(1.3, float(shape[1]), shape)
    matrix = schemes.orthogonal_(torch.empty(shape), generator=torch.Generator().manual_seed(0), gain=gain)
    assert float(matrix.square().mean()) == pytest.approx(1.3**2 / shape[1], rel=1e-4)
    values = torch.linalg.svdvals(matrix)
    assert float(values.max() / values.min()) == pytest.approx(1.0, rel=1e-4)


def test_only_long_chains_are_drawn_orthogonally() -> None:
    long, short = chain(nn.ReLU, 8), chain(nn.ReLU, 3)
    assert {entry.scheme for entry in sz.init_(long, X).entries if entry.action == "drawn"} == {"orthogonal"}
    assert "orthogonal" not in {entry.scheme for entry in sz.init_(short, X).entries}


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_gradients_of_a_deep_chain_stay_in_bounds(activation: type[nn.Module]) -> None:
    model = chain(activation, 30)
    sz.init_(model, X)
    seen: list[torch.Tensor] = []
    for layer in model[::2]:
        layer.register_forward_hook(lambda _m, _i, out: (out.retain_grad(), seen.append(out))[-1])
    model(X).square().sum().backward()
    norms = [float(out.grad.norm()) for out in seen[:-1] if out.grad is not None]
    assert norms[0] / norms[-1] < 2 * math.sqrt(math.e)
