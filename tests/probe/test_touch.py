"""Theorem 3 with real optimizers: step L - 1, and a size that follows the law."""

import math

import pytest
import torch
from torch import nn

import stepzero
from stepzero.measure.first_touch import size
from stepzero.probe.capture import capture
from stepzero.probe.subject import subject_of
from stepzero.probe.wake import wake

X = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))


def biased(layers: int) -> nn.Sequential:
    torch.manual_seed(1)
    parts = [part for place in range(layers) for part in (nn.Linear(6 if place == 0 else 8, 8), nn.Tanh())]
    model = nn.Sequential(*parts[:-1])
    for name, parameter in model.named_parameters():
        nn.init.zeros_(parameter) if "weight" in name else nn.init.normal_(parameter, std=0.5)
    return model


def touch(layers: int, lr: float, optimizer: type = torch.optim.SGD) -> tuple[int | None, float | None]:
    model = biased(layers)
    subject = subject_of(model, X, lambda output: (output - 1).square().mean())
    fact = wake(subject, capture(subject), optimizer(model.parameters(), lr=lr))
    first = next(each for each in fact.parameters if each.parameter == "0.weight")
    assert fact.optimizer == optimizer.__name__
    return first.touch_step, first.touch_size


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_descent_touches_the_first_layer_at_the_step_of_the_theorem(layers: int) -> None:
    (step, coarse), (_, fine) = touch(layers, 3e-3), touch(layers, 1e-3)
    assert step == layers - 1
    assert coarse is not None
    assert fine is not None
    exponent = math.log(coarse / fine) / math.log(3.0)
    assert exponent == pytest.approx(2 ** (layers - 1) - 1, rel=0.05)
    assert size(1e-3, layers - 1, is_adaptive=False)[0] == pytest.approx(1e-3 ** (2 ** (layers - 1) - 1))


def test_adam_touches_it_harder() -> None:
    step, found = touch(4, 1e-3, torch.optim.Adam)
    _, faint = touch(4, 1e-3)
    assert step == 3
    assert found is not None
    assert faint is not None
    assert found > 100 * faint


def test_the_check_says_what_the_optimizer_did_and_leaves_it_alone() -> None:
    model = biased(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    report = stepzero.check(model, X, lambda output: (output - 1).square().mean(), optimizer=optimizer)
    (finding,) = [finding for finding in report.findings if finding.code == "SZ404"]
    assert "SGD itself" in finding.message
    assert not optimizer.state
    assert all(parameter.grad is None for parameter in model.parameters())
