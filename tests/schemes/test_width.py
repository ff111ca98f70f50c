"""Width factors: their algebra, and that one step moves every layer's output alike at any width."""

import math

import pytest
import torch
import torch.nn.functional as F

from stepzero import schemes
from stepzero.schemes.width import Factors, Optimizer

ROLES = ("input", "hidden", "readout", "vector")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_at_the_base_width_nothing_changes(role: str, optimizer: str) -> None:
    assert schemes.mup(role, 1.0, optimizer=optimizer) == Factors(1.0, 1.0, 1.0, 1.0)  # type: ignore[arg-type]


def test_the_table() -> None:
    assert schemes.mup("hidden", 4.0) == Factors(std=0.5, lr=0.25, multiplier=1.0, weight_decay=4.0)
    assert schemes.mup("hidden", 4.0, optimizer="sgd") == Factors(0.5, 1.0, 1.0, 1.0)
    assert schemes.mup("readout", 4.0) == Factors(1.0, 1.0, 0.25, 1.0)
    assert schemes.mup("input", 4.0, optimizer="sgd").lr == 4.0
    assert schemes.mup("vector", 4.0) == Factors(1.0, 1.0, 1.0, 1.0)


def moves(width: int, optimizer: Optimizer) -> tuple[float, float]:
    """Rms change of the hidden layer and of the output of a three-layer net after one step, base width 64."""
    generator = torch.Generator().manual_seed(0)
    ratio, base = width / 64, 64
    factors = {role: schemes.mup(role, ratio, optimizer=optimizer) for role in ("input", "hidden", "readout")}
    shapes = {"input": (width, 8), "hidden": (width, width), "readout": (4, width)}
    fans = {"input": 8, "hidden": base, "readout": base}
    weights = {}
    for role, shape in shapes.items():
        std = factors[role].std / math.sqrt(fans[role])
        weight = schemes.constant_std_(torch.empty(shape, dtype=torch.float64), generator=generator, std=std)
        weights[role] = weight.requires_grad_()
    x = torch.randn(16, 8, generator=generator, dtype=torch.float64)
    target = torch.randn(16, 4, generator=generator, dtype=torch.float64)

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.relu(x @ weights["input"].T) @ weights["hidden"].T
        return hidden, torch.relu(hidden) @ weights["readout"].T * factors["readout"].multiplier

    before = run()
    gradients = torch.autograd.grad(F.mse_loss(before[1], target), list(weights.values()))
    with torch.no_grad():
        for (role, weight), gradient in zip(weights.items(), gradients, strict=True):
            step = gradient.sign() * 1e-3 if optimizer == "adam" else gradient * 1e-2
            weight.sub_(factors[role].lr * step)
    after = run()
    first, second = ((a - b).detach().square().mean().sqrt().item() for a, b in zip(after, before, strict=True))
    return first, second


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_one_step_moves_hidden_layer_and_output_alike_at_any_width(optimizer: Optimizer) -> None:
    narrow, wide = moves(64, optimizer), moves(1024, optimizer)
    for a, b in zip(narrow, wide, strict=True):
        assert 0.4 < b / a < 2.5  # sixteen times as wide; the standard parametrisation is out by 4 to 16


def test_attention_logits() -> None:
    assert schemes.attention_scale(64) == 1 / 64
    assert schemes.attention_scale(64, 64) == pytest.approx(1 / math.sqrt(64))
    with pytest.raises(ValueError, match="head widths"):
        schemes.attention_scale(0)


def test_wrong_arguments() -> None:
    for call in (
        lambda: schemes.mup("head", 2.0),  # type: ignore[arg-type]
        lambda: schemes.mup("input", 0.0),
        lambda: schemes.mup("input", 2.0, optimizer="lion"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
