import pytest
import torch

from stepzero.lab import program
from stepzero.lab.studies import low_dimension


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("width", [10, 40])
def test_zero_biases_leave_four_directions_or_two(width, depth):
    made = program.mlp(1, [width] * depth, 1, "relu")
    x = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]  # without zero
    zero = low_dimension.start(made, "zero", 0, x)
    assert low_dimension.rank(made, zero, x) <= 4
    assert low_dimension.rank(made, zero, x[x[:, 0] > 0]) <= 2
    assert low_dimension.rank(made, low_dimension.start(made, "kinks on the data", 0, x), x) > 10


@pytest.mark.slow
def test_kinks_on_the_data_cost_a_hundredth_of_the_error():
    facts = low_dimension.run("short", None).facts
    zero, kinks = facts["1 zero"], facts["1 kinks on the data"]
    for key in ("error", "error there"):
        assert zero[key] > 50 * kinks[key]
