"""Laws of plain chains, against closed forms and against the gradients of chains that were drawn."""

import math

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero import schemes
from stepzero.measure.gain import activation_gain
from stepzero.repair import chains, planning

X = torch.randn(128, 64, generator=torch.Generator().manual_seed(0))


def chain(activation: type[nn.Module], layers: int, width: int = 64, classes: int = 4) -> nn.Sequential:
    made: list[nn.Module] = []
    for fan_in in (64, *[width] * (layers - 2)):
        made += [nn.Linear(fan_in, width), activation()]
    return nn.Sequential(*made, nn.Linear(width, classes))


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


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize("square", [0.1, 0.3, 0.6])
def test_a_quiet_signal_lets_the_head_keep_both_directions(activation: str, square: float) -> None:
    """n w^2 E phi^2 = s^2 and C w^2 E phi'^2 = 1 with one w: here n = 1, s^2 C = ``square``."""
    std = chains.quiet_std(activation, square)
    forward, backward = (activation_gain(activation, mode=mode, square=std**2) for mode in ("in", "out"))
    variance = backward**2
    assert variance / forward**2 == pytest.approx(square, rel=1e-4)


def test_the_signal_of_relu_is_quiet_by_the_closed_form_and_never_loud() -> None:
    assert chains.quiet_std("relu", 0.25) == pytest.approx(0.5, rel=1e-4)
    assert chains.quiet_std("relu", 4.0) == 1.0
    assert chains.quiet_std("relu", 1e-6) == pytest.approx(0.25, rel=1e-4)


def test_only_rectifiers_in_front_of_a_head_are_quiet() -> None:
    before_head = chains.Chain(6, features=64.0, outputs=4.0)
    assert before_head.std("relu", 0.9) == pytest.approx(0.25, rel=1e-4)
    assert before_head.std("tanh", 0.9) == chains.steady_std("tanh", 6)
    assert chains.Chain(6).std("relu", 0.9) == 1.0


@pytest.mark.parametrize(("width", "classes"), [(64, 10), (32, 8)])
def test_the_head_of_a_drawn_chain_keeps_the_size_of_the_gradient(width: int, classes: int) -> None:
    """Rms of the gradient at the last pre-activation is that at the logits, within what finite width does."""
    ratios = []
    for seed in range(8):
        model = chain(nn.ReLU, 5, width, classes)
        sz.init_(model, X, seed=seed)
        weight = model[-1].weight.detach()
        ratios.append(float((weight.square().sum(0) / 2).mean()))  # C w^2 E phi'^2
        assert float(model(X).detach().std()) == pytest.approx(planning.HEAD_STD, rel=1e-2)
    assert sum(ratios) / len(ratios) == pytest.approx(1.0, rel=0.35)


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
