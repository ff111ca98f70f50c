import pytest
import torch

from stepzero.lab import program
from stepzero.lab.studies import lumped


@pytest.fixture(scope="module")
def facts():
    return lumped.run("short", None).facts


@pytest.mark.parametrize("name", [name for name in lumped.UPDATES if "coupled" not in name])
def test_what_keeps_sums_keeps_the_units_together(facts, name):
    assert facts[name]["gap"] < 1e-9
    assert facts[name]["rows"] > 0.1  # comparing rows would not find them


def test_decay_inside_adam_breaks_them(facts):
    assert facts["Adam, coupled decay 1e-2"]["gap"] > 1e-3


def test_the_start_has_equal_sums_and_a_middle_of_full_rank():
    made = program.mlp(lumped.INPUTS, [lumped.WIDTH] * 3, lumped.OUTPUTS, "tanh")
    layer, numbers = made.layers[1], lumped.start(made, 0)
    W = numbers[layer.offset : layer.bias].view(2, 3, 2, 3)
    rows, columns = W.sum(3), W.sum(1)
    assert (rows - rows[:, :1]).abs().max() < 1e-12
    assert (columns - columns[..., :1]).abs().max() < 1e-12
    assert torch.linalg.matrix_rank(W.reshape(6, 6)) == 6
