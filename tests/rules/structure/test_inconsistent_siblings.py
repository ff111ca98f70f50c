import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(32, 64, generator=generator(1))


def stack(count=8, change=None):
    torch.manual_seed(0)
    layers = [nn.Linear(64, 64) for _ in range(count)]
    for number, layer in enumerate(layers):
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        if change is not None:
            change(number, layer)
    return nn.Sequential(*(nn.Sequential(layer, nn.LayerNorm(64), nn.Tanh()) for layer in layers), nn.Linear(64, 4))


@torch.no_grad()
def times(numbers, factor):
    return lambda number, layer: layer.weight.data.mul_(factor) if number in numbers else None


@pytest.mark.parametrize("factor", [0.0, 0.2, 4.0])
def test_one_block_with_another_scale_is_found(factor):
    (finding,) = ask("SZ706", stack(change=times({3}, factor)), X)
    assert (finding.severity, finding.where) == ("warning", ("3.0.weight",))
    assert finding.value == pytest.approx(factor, rel=0.05)


def test_one_bias_that_is_not_zero_is_found():
    change = lambda number, layer: nn.init.ones_(layer.bias) if number == 4 else None  # noqa: E731 - short
    (finding,) = ask("SZ706", stack(change=change), X)
    assert finding.where == ("4.0.bias",)


# -- traps ----------------------------------------------------------------------------------------------------------


def test_equal_draws_are_silent():
    assert severities("SZ706", stack(), X) == []


def test_the_first_and_the_last_block_may_differ():
    assert severities("SZ706", stack(change=times({0}, 5.0)), X) == []
    assert severities("SZ706", stack(change=times({0, 7}, 0.0)), X) == []


def test_a_ramp_along_the_depth_is_silent():
    ramp = lambda number, layer: layer.weight.data.mul_(1.5**number)  # noqa: E731 - short
    assert severities("SZ706", stack(change=ramp), X) == []
    steps = lambda number, layer: layer.weight.data.mul_((number + 1) ** -0.5)  # noqa: E731 - short
    assert severities("SZ706", stack(change=steps), X) == []


def test_alternating_kinds_have_no_majority():
    assert severities("SZ706", stack(change=times({1, 3, 5}, 3.0)), X) == []


def test_few_blocks_frozen_ones_and_small_differences_are_silent():
    assert severities("SZ706", stack(4, times({2}, 5.0)), X) == []
    assert severities("SZ706", stack(change=times({3}, 1.8)), X) == []
    model = stack(change=times({3}, 5.0))
    model.requires_grad_(False)
    model[-1].requires_grad_(True)
    assert severities("SZ706", model, X) == []


def test_small_tensors_differ_by_chance():
    torch.manual_seed(3)
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))
    assert severities("SZ706", model, X[:, :2]) == []


def test_a_weight_as_large_as_its_input_asks_for_is_silent():
    """A slope in front of it that lets a third through, and a weight three times the size: one response."""

    class Dimmed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = stack(change=times({4}, 3.0))

        def forward(self, x):
            for number, block in enumerate(self.body):
                x = block(x / 3 if number == 4 else x)
            return x

    assert severities("SZ706", Dimmed(), X) == []
    assert severities("SZ706", stack(change=times({4}, 3.0)), X) == ["warning"]
